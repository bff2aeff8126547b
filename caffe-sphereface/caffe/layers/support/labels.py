"""Class labels as layers take them: whole numbers in a float blob, one per position of the predictions."""

from math import prod

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer

# (outer, classes, inner): the positions before the axis of classes, the classes, the positions behind them
Extent = tuple[int, int, int]


def check_batch(layer: Layer, bottom: list[Blob]) -> None:
    """An error unless the first two bottoms of a loss have a first axis, and of the same size."""
    first, second = bottom[0].shape[:1], bottom[1].shape[:1]
    if not first or first != second:
        layer.error(f'bottoms have shapes {bottom[0].shape} and {bottom[1].shape}, expected the same first dimension')


def positions(layer: Layer, scores: Blob, labels: Blob, axis: int) -> Extent:
    """The extent of predictions with classes on `axis`; an error unless each position has a label."""
    axis = layer.axis(axis, scores)
    outer, inner = prod(scores.shape[:axis]), prod(scores.shape[axis + 1 :])
    if labels.count != outer * inner:
        layer.error(
            f'has labels of shape {labels.shape} for predictions of shape {scores.shape}, '
            f'expected {outer * inner} labels'
        )
    return outer, scores.shape[axis], inner


def softmax(scores: torch.Tensor, extent: Extent) -> torch.Tensor:
    """The softmax over classes of scores taken as `extent`, in that shape."""
    if extent[2] == 1:
        # along the last axis it is several times faster
        return torch.softmax(scores.reshape(extent[:2]), 1).unsqueeze(2)
    return torch.softmax(scores.reshape(extent), 1)


def pick(layer: Layer, values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The value of each labelled class: `values` (outer, classes, inner) at `index` (outer, 1, inner), in its shape.

    An error that names the range when a label is not one of the classes.
    """
    try:
        return values.gather(1, index)
    except RuntimeError:
        low, high = int(index.min()), int(index.max())
        if low >= 0 and high < values.shape[1]:
            raise
        layer.error(f'has labels from {low} to {high}, expected 0 to {values.shape[1] - 1}')
