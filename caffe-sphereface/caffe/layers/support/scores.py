"""Scores of classes with one label per item, as margins on cosines take them."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.labels import pick
from caffe.layers.support.registry import Layer


def reshape_like_scores(layer: Layer, bottom: list[Blob], top: list[Blob]) -> None:
    """Give the first top the shape of the scores; an error unless there are as many labels as items."""
    scores, labels = bottom
    if not scores.shape or labels.count != scores.shape[0]:
        layer.error(f'has labels of shape {labels.shape} for scores of shape {scores.shape}, expected one an item')
    top[0].reshape(*scores.shape)


def labelled(
    layer: Layer, bottom: list[Blob], skips_negative: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """(scores (N, K), indices (N, 1) of the labels, the labels' scores (N, 1), mask of the items that count).

    With `skips_negative` items with a negative label do not count, and have index 0; the mask is None where all count.
    An error naming the range when a label is none of the classes.
    """
    index = bottom[1].tensor.long().reshape(-1, 1)
    scores = bottom[0].tensor.reshape(len(index), -1)
    mask = None
    if skips_negative:
        mask = index >= 0
        index = index.clamp(min=0)
    own = pick(layer, scores.unsqueeze(2), index.unsqueeze(2)).squeeze(2)
    return scores, index, own, mask
