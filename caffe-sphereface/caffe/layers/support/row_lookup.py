"""Picking rows of a tensor by indices that come from a blob."""

import torch

from caffe.layers.support.registry import Layer


def take_rows(layer: Layer, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`table[index]` for a flat long tensor; an error that names the range when an index is not one of the rows."""
    try:
        return table.index_select(0, index)
    except (IndexError, RuntimeError):
        low, high = int(index.min()), int(index.max())
        if low >= 0 and high < len(table):
            raise
        layer.error(f'has indices from {low} to {high}, expected 0 to {len(table) - 1}')
