"""GlobalLSEMargin: one margin for all classes, from how far the labels' cosines lie above the others (AMSoftmax)."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import BlobCount, Layer, register
from caffe.layers.support.scores import labelled, reshape_like_scores
from caffe.proto.caffe_pb2 import FillerParameter

_NEAR, _STILL, _STEPS = 0.1, 0.001, 20


@register('GlobalLSEMargin')
class GlobalLSEMargin(Layer):
    """y = s · (x − m at the label), and x · s elsewhere, if m > 0 (caffe-windows' GPU code, in both phases).

    Bottoms: cosines (N, K), labels (N), and perhaps lengths (N), which stand for s. Blobs: s (1), 30 or as
    `scale_param`'s filler says and limited to its min_value and max_value, and m (1), which does not learn. An item
    lies by x at the label less log Σ exp(s · x) / s, over the others, above these. m follows the mean of such gaps
    within 0.1 of it by a tenth in each forward; the first takes that mean itself, found in up to 20 steps from the mean
    of all. The second top (5): s, and the means of x at the label, of the log, and of the largest other x, at least −1,
    then m. Where lengths are given, s is their mean there. m is a constant to the gradient.
    """

    bottoms: BlobCount = (2, 3)
    tops: BlobCount = (1, 2)
    no_diff_bottoms = (1,)
    kept = ('_moved',)
    _moved: torch.Tensor
    no_capture = 'searches its margin on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.scale_param
        add_parameter(self, (1,), param.filler if param.HasField('filler') else FillerParameter(value=30))
        add_parameter(self, (1,), FillerParameter())
        while len(self.param.param) < 2:
            rate = float(not self.param.param and len(bottom) == 2)
            self.param.param.add(lr_mult=rate, decay_mult=0)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        reshape_like_scores(self, bottom[:2], top)
        if len(bottom) == 3 and bottom[2].count != bottom[1].count:
            self.error(
                f'has lengths of shape {bottom[2].shape} for labels of shape {bottom[1].shape}, expected one each'
            )
        for blob in top[1:]:
            blob.reshape(5)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, index, own, _ = labelled(self, bottom[:2])
        scale = self._scale(bottom)
        others = x.scatter(1, index, -torch.inf)
        largest = others.amax(1, keepdim=True).clamp(min=-1)
        level = torch.logsumexp(scale * others, 1, keepdim=True) / scale
        margin = self._margin((own - level).flatten().tolist())
        self._moved = x.scatter(1, index, own - max(margin, 0))
        top[0].tensor = (self._moved * scale).reshape(top[0].shape)
        if len(top) > 1:
            means = [values.mean() for values in (scale, own, level, largest)]
            top[1].tensor = torch.stack([*means, self.blobs[1].tensor[0]])

    def _scale(self, bottom: list[Blob]) -> torch.Tensor:
        """s, (1) or (N, 1)."""
        param = self.param.scale_param
        with self.blobs[0].changing() as value:
            value.clamp_(min=param.min_value if param.HasField('min_value') else 0)
            if param.HasField('max_value'):
                value.clamp_(max=param.max_value)
        return bottom[2].tensor.reshape(-1, 1) if len(bottom) == 3 else self.blobs[0].tensor

    def _margin(self, found: list[float]) -> float:
        """m after it followed what the items of a batch have."""
        old = float(self.blobs[1].tensor)
        mean = sum(found) / len(found)
        new = _mode(found, mean, _STEPS) if old == 0 else 0.9 * old + 0.1 * _mode(found, old, 1)
        with self.blobs[1].changing() as value:
            value.fill_(new if new == new else old)  # not a number, where cosines are none
        return new if new == new else old

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        dy = top[0].grad.reshape(self._moved.shape)
        if len(bottom) == 3:
            if propagate_down[2]:
                bottom[2].grad = (dy * self._moved).sum(1).reshape(bottom[2].shape)
        elif self.param_propagate_down[0]:
            self.blobs[0].grad += (dy * self._moved).sum()
        if propagate_down[0]:
            scale = bottom[2].tensor.reshape(-1, 1) if len(bottom) == 3 else self.blobs[0].tensor
            bottom[0].grad = (dy * scale).reshape(bottom[0].shape)


def _mode(values: list[float], start: float, steps: int) -> float:
    """The mean of the values near `start`, then of those near that, and so on; from that of all where none is near."""
    place = start
    for _ in range(steps):
        near = _near(values, place)
        if not near:
            place = sum(values) / len(values)
            near = _near(values, place) or values
        last, place = place, sum(near) / len(near)
        if abs(place - last) < _STILL:
            break
    return place


def _near(values: list[float], place: float) -> list[float]:
    return [value for value in values if abs(value - place) < _NEAR]
