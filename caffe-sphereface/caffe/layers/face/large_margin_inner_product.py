"""LargeMarginInnerProduct: the L-Softmax layer (Liu et al. 2016), with the gradient it was trained with."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.face.angle_multiples import ANGLES, SLOPES
from caffe.layers.face.margin_product import MarginProduct
from caffe.layers.support.registry import register
from caffe.layers.support.scores import labelled

_TINY = 1e-9


@register('LargeMarginInnerProduct')
class LargeMarginInnerProduct(MarginProduct):
    """Logits x·wⱼ, of which the label's is (λ · x·w + |x||w| · ψ(θ)) / (1 + λ); rows wⱼ keep their lengths.

    Bottoms: features (M, …) and labels (M). Tops: logits (M, N) and λ (1). Each forward counts one iteration;
    λ = max(base · (1 + gamma · iteration)^−power, lambda_min).
    """

    settings = 'largemargin_inner_product_param'
    bottoms = 2
    tops = 2
    no_diff_bottoms = (1,)
    kept = ('_x', '_index', '_cos', '_ratio')
    reads_back = ()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._x = bottom[0].tensor.reshape(-1, self.inputs)
        logits = self._x @ self.blobs[0].tensor.t()
        top[0].tensor = logits.reshape(top[0].shape)
        top[1].tensor = self.mix.as_blob(logits.device)
        if self.margin > 1:
            self._apply_margin(bottom, top)

    def _apply_margin(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Change the labelled logits."""
        logits, self._index, own, _ = labelled(self, [top[0], bottom[1]])
        of_x = torch.linalg.vector_norm(self._x, dim=1, keepdim=True)
        of_weight = torch.linalg.vector_norm(self.blobs[0].tensor, dim=1)[self._index]
        self._cos = own / (of_x * of_weight + _TINY)
        self._ratio = (of_x + _TINY) / (of_weight + _TINY)
        mixed = (self.mix.value * own + of_x * of_weight * ANGLES[self.margin](self._cos)) / self.whole.value
        top[0].tensor = logits.scatter(1, self._index, mixed).reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The label's class moves w along a·x + b·(|x|/|w|)·w and x along a·w + b·(|w|/|x|)·x, over 1 + λ."""
        self.refuse_gradient(propagate_down, 1, 'labels')
        dy, weight = top[0].grad.reshape(-1, self.outputs), self.blobs[0]
        own = None
        if self.margin > 1:
            a, b = SLOPES[self.margin](self._cos)
            own = dy.gather(1, self._index) / self.whole.value
            dy = dy.scatter(1, self._index, own * (a + self.mix.value))
            own = own * b
        if self.param_propagate_down[0]:
            weight.add_product(dy.t(), self._x)
            if own is not None:
                index = self._index.flatten()
                weight.add_rows(index, own * self._ratio * weight.tensor.index_select(0, index))
        if propagate_down[0]:
            dx = dy @ weight.tensor
            bottom[0].grad = (dx if own is None else dx.addcmul_(own / self._ratio, self._x)).reshape(bottom[0].shape)
