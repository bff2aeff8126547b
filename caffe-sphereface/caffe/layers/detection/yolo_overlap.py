"""How much boxes (x, y, w, h) overlap, centres and sizes, as the losses of YOLO ask it."""

import numpy as np
import torch


def shape_overlap(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Intersection over union (T, A) of boxes of sizes (T, 2) and anchors (A, 2) or (T, A, 2) about one centre."""
    common = np.minimum(sizes[:, None], anchors).prod(-1)
    return common / (sizes.prod(-1)[:, None] + anchors.prod(-1) - common)


def _ends(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The left and upper ends (…, 2) of boxes (…, 4), and the right and lower ones."""
    half = boxes[..., 2:] / 2
    return boxes[..., :2] - half, boxes[..., :2] + half


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes (…, 4)."""
    (low, high), (other_low, other_high) = _ends(a), _ends(b)
    common = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0).prod(-1)
    return common / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common)


def general_overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The generalized overlap of boxes (…, 4) (Rezatofighi et al. 2019): I / U − 1 + U / C.

    I is the intersection, U the union and C the smallest box around both.
    """
    (low, high), (other_low, other_high) = _ends(a), _ends(b)
    around = (torch.maximum(high, other_high) - torch.minimum(low, other_low)).prod(-1)
    shared = overlap(a, b)
    union = (a[..., 2:].prod(-1) + b[..., 2:].prod(-1)) / (1 + shared)
    return shared - 1 + union / around


def overlap_slopes(boxes: torch.Tensor, true: torch.Tensor, general: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """How the overlap of boxes (T, 4) with `true` (T, 4) changes with their low ends (T, 2) and high ends (T, 2).

    With `general` that of the generalized overlap. Where boxes lie apart, the fork goes on with the product of their
    distances for the intersection, and leaves the overlap out where that makes the union negative.
    """
    (low, high), (true_low, true_high) = _ends(boxes), _ends(true)
    inner = torch.minimum(high, true_high) - torch.maximum(low, true_low)
    outer = torch.maximum(high, true_high) - torch.minimum(low, true_low)
    common, around = inner.prod(-1, True), outer.prod(-1, True)
    union = boxes[:, 2:].prod(-1, True) + true[:, 2:].prod(-1, True) - common
    slopes = []
    for sign, is_inner, is_outer in ((-1, low > true_low, low < true_low), (1, high < true_high, high > true_high)):
        # an end moves an area by the extent of the other axis
        of_common = sign * inner.flip(-1) * is_inner
        of_union = sign * boxes[:, 2:].flip(-1) - of_common
        of_around = sign * outer.flip(-1) * is_outer
        slope = ((union * of_common - common * of_union) / union.square()).where(union > 0, 0)
        slopes.append(slope + (around * of_union - union * of_around) / around.square() if general else slope)
    return slopes[0], slopes[1]
