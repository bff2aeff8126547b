"""What a loss over labelled positions is divided by: LossParameter's ignore_label and normalization modes."""

import torch

from caffe.proto.caffe_pb2 import LossParameter


class Normalizer:
    """The divisor of a loss whose items lie on `outer` x `inner` positions, some of which may be ignored.

    `default` is the mode when neither `normalization` nor the older `normalize` is given.
    """

    def __init__(self, param: LossParameter, default: int = LossParameter.VALID) -> None:
        self.ignore_label = param.ignore_label if param.HasField('ignore_label') else None
        self.fixed = param.pre_fixed_normalizer
        if param.HasField('normalization'):
            self.mode = param.normalization
        elif param.HasField('normalize'):
            self.mode = LossParameter.VALID if param.normalize else LossParameter.BATCH_SIZE
        else:
            self.mode = default

    def mask(self, labels: torch.Tensor) -> torch.Tensor | None:
        """1.0 where a label counts and 0.0 where it is ignored (float tensor of their shape), None when all count."""
        return None if self.ignore_label is None else (labels != self.ignore_label).to(torch.get_default_dtype())

    def targets(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(class of each label, with 0 in place of those that are ignored; their `mask`), from whole numbers."""
        mask = self.mask(labels)
        return labels if mask is None else torch.where(mask > 0, labels, 0), mask

    def divisor(self, outer: int, inner: int, mask: torch.Tensor | None = None) -> float | torch.Tensor:
        """The divisor, at least 1: a number, or a tensor without axes where it depends on the labels.

        PRE_FIXED, of R-FCN's fork, is the field `pre_fixed_normalizer`.
        """
        if self.mode == LossParameter.VALID and mask is not None:
            return mask.sum().clamp(min=1)
        counts = {LossParameter.BATCH_SIZE: outer, LossParameter.NONE: 1, LossParameter.PRE_FIXED: self.fixed}
        return max(1, counts.get(self.mode, outer * inner))
