"""MarginInnerProduct: the A-Softmax layer of SphereFace (Liu et al. 2017), with the gradient it was trained with."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.face.angle_multiples import ANGLES, SLOPES
from caffe.layers.face.margin_product import MarginProduct
from caffe.layers.support.labels import pick
from caffe.layers.support.registry import register


@register('MarginInnerProduct')
class MarginInnerProduct(MarginProduct):
    """Logits x·wⱼ over unit rows wⱼ, with |x|·ψ(θ) mixed into the labelled class's.

    Bottoms: features (M, …) and labels (M). Tops: logits (M, N) and λ (1). Each forward normalises the rows of the
    weights in place and counts one iteration; λ = max(base · (1 + gamma · iteration)^−power, lambda_min).
    """

    settings = 'margin_inner_product_param'
    bottoms = 2
    tops = (1, 2)
    no_diff_bottoms = (1,)
    kept = ('_x',)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        with self.blobs[0].changing() as weight:
            weight.div_(torch.linalg.vector_norm(weight, dim=1, keepdim=True))
        self._x = bottom[0].tensor.reshape(-1, self.inputs)
        logits = self._x @ weight.t()
        if self.margin > 1:
            self._apply_margin(logits, bottom[1].tensor.long().reshape(-1, 1))
        top[0].tensor = logits.reshape(top[0].shape)
        if len(top) > 1:
            top[1].tensor = self.mix.as_blob(logits.device)

    def _apply_margin(self, logits: torch.Tensor, label: torch.Tensor) -> None:
        """Change the labelled logits in place."""
        self._label = label
        own = pick(self, logits.unsqueeze(2), label.unsqueeze(2)).squeeze(2)
        self._norm = torch.linalg.vector_norm(self._x, dim=1, keepdim=True)
        self._cos = own / self._norm
        psi = ANGLES[self.margin](self._cos)
        logits.scatter_(1, self._label, (self.mix.value * own + self._norm * psi) / self.whole.value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dy = top[0].grad.reshape(-1, self.outputs)
        if self.param_propagate_down[0]:
            self.blobs[0].add_product(dy.t(), self._x)
        if propagate_down[0]:
            dx = dy @ self.blobs[0].tensor if self.margin == 1 else self._margin_grad(dy)
            bottom[0].grad = dx.reshape(bottom[0].shape)

    def _margin_grad(self, dy: torch.Tensor) -> torch.Tensor:
        """Diff of the features: the labelled class contributes λ·w + (a·w + b·x) / √(a² + b²), over 1 + λ."""
        a, b = SLOPES[self.margin](self._cos)
        b = b / self._norm
        length = torch.hypot(a, b)
        own = dy.gather(1, self._label) / self.whole.value
        along_weight = dy.scatter(1, self._label, own * (a / length + self.mix.value))
        return torch.addcmul(along_weight @ self.blobs[0].tensor, own * (b / length), self._x)
