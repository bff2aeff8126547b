"""TripletLoss: an anchor shall lie nearer to its like than to the other by a margin (Schroff et al. 2015)."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('TripletLoss')
class TripletLoss(Layer):
    """top = Σ max(0, margin + |a − p|² − |a − n|²) / 2N of three bottoms, anchor, positive and negative (N, …).

    caffe-windows' layer. da = n − p, dp = p − a, dn = a − n over N for triplets that count.
    """

    bottoms = 3
    tops = 1
    loss = True
    auto_top = True
    kept = ('_counts',)
    reads_back = ('bottom',)
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len({blob.shape for blob in bottom}) > 1 or not bottom[0].shape:
            self.error(
                f'bottoms have shapes {", ".join(str(blob.shape) for blob in bottom)}, expected three equal ones'
            )
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        anchor, like, other = (blob.tensor.reshape(blob.shape[0], -1) for blob in bottom)
        gap = (anchor - like).square().sum(1) - (anchor - other).square().sum(1)
        short = (gap + self.param.triplet_loss_param.margin).clamp(min=0)
        self._counts = (short > 0).to(short.dtype)
        top[0].tensor = short.sum() / (2 * len(anchor))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        anchor, like, other = (blob.tensor for blob in bottom)
        scale = self._counts * (top[0].grad / len(self._counts))
        factor = scale.reshape(-1, *[1] * (anchor.dim() - 1))
        for blob, wanted, (end, start) in zip(
            bottom, propagate_down, ((other, like), (like, anchor), (anchor, other)), strict=True
        ):
            if wanted:
                blob.grad = torch.sub(end, start).mul_(factor)
