"""Class labels as layers take them: whole numbers in a float blob, one a position of the predictions."""

from math import prod

import torch


def positions(layer, scores, labels, axis):
    """(outer, classes, inner) of predictions with classes on `axis`; an error unless each position has a label."""
    axis = layer.axis(axis, scores)
    outer, inner = prod(scores.shape[:axis]), prod(scores.shape[axis + 1 :])
    if labels.count != outer * inner:
        layer.error(
            f'has labels of shape {labels.shape} for predictions of shape {scores.shape}, '
            f'expected {outer * inner} labels'
        )
    return outer, scores.shape[axis], inner


def softmax(scores, extent):
    """The softmax over classes of scores taken as `extent` = (outer, classes, inner), in that shape."""
    if extent[2] == 1:
        # along the last axis it is several times faster
        return torch.softmax(scores.reshape(extent[:2]), 1).unsqueeze(2)
    return torch.softmax(scores.reshape(extent), 1)


def pick(layer, values, index):
    """The value of each labelled class: `values` (outer, classes, inner) at `index` (outer, 1, inner), same shape.

    An error naming the range when a label is none of the classes.
    """
    try:
        return values.gather(1, index)
    except RuntimeError:
        low, high = int(index.min()), int(index.max())
        if low >= 0 and high < values.shape[1]:
            raise
        layer.error(f'has labels from {low} to {high}, expected 0 to {values.shape[1] - 1}')
