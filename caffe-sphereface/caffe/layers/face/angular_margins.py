"""CosinAddm, CombinedMargin and AdaCosAddmScale: margins on the angle between a feature and its class."""

import math

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register
from caffe.layers.support.scores import labelled, reshape_like_scores


def added_angle(cosine: torch.Tensor, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(cos(θ + margin) of cosines c = cos θ, its derivative), as ArcFace continues it (Deng et al. 2019).

    From θ = π − margin on it is c − margin · sin(π − margin). Cosines above 1 count as 1, where the derivative is 1.
    """
    cosine = cosine.clamp(max=1)
    root = (1 - cosine.square()).clamp(min=0).sqrt()
    cos, sin = math.cos(margin), math.sin(margin)
    beyond = cosine <= math.cos(math.pi - margin)
    moved = torch.where(beyond, cosine - margin * math.sin(math.pi - margin), cosine * cos - root * sin)
    slope = torch.where(beyond | (cosine == 1), torch.ones_like(cosine), cos + sin * cosine / root)
    return moved, slope


class _AngularMargin(Layer):
    """Scores (N, …) and labels (N) to scores, changed at the labels in both phases."""

    bottoms = 2
    tops = 1
    in_place = True
    no_diff_bottoms = (1,)
    kept = ('_index', '_slope')
    reads_back = ()
    no_capture: str | None = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        reshape_like_scores(self, bottom, top)

    def _moved(self, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(the label's new score, its derivative)."""
        raise NotImplementedError

    def _change(self, bottom: list[Blob], skips_negative: bool) -> torch.Tensor:
        """The scores (N, K) with the labels' moved."""
        scores, self._index, own, mask = labelled(self, bottom, skips_negative)
        moved, slope = self._moved(own)
        if mask is not None:
            moved, slope = torch.where(mask, moved, own), torch.where(mask, slope, torch.ones_like(slope))
        self._slope = slope
        return scores.scatter(1, self._index, moved)

    def _gradient(self, dy: torch.Tensor) -> torch.Tensor:
        """dx of the labels' new scores from dy of all."""
        dx = dy.clone()
        rows = dx.view(len(self._index), -1)
        rows.scatter_(1, self._index, rows.gather(1, self._index) * self._slope)
        return dx

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            bottom[0].grad = self._gradient(top[0].grad)


@register('CosinAddm')
class CosinAddm(_AngularMargin):
    """The label's cosine becomes cos(θ + m), up to θ = π − m, in both phases (ArcFace; arcface-caffe)."""

    def _moved(self, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return added_angle(own, self.param.cosin_add_m_param.m)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self._change(bottom, skips_negative=False).reshape(top[0].shape)


@register('CombinedMargin')
class CombinedMargin(_AngularMargin):
    """The label's cosine becomes cos(m1 · θ + m2) − m3 in both phases, negative labels aside (arcface-caffe).

    The derivative, m1 · sin(m1 · θ + m2) / sin θ, is infinite for cosines of ±1.
    """

    def _moved(self, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        param = self.param.combined_margin_param
        angle = own.acos() * param.m1 + param.m2
        return angle.cos() - param.m3, angle.sin() * param.m1 / (1 - own.square()).sqrt()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self._change(bottom, skips_negative=True).reshape(top[0].shape)


@register('AdaCosAddmScale')
class AdaCosAddmScale(_AngularMargin):
    """CosinAddm and then a scale for all scores that adapts itself (Zhang et al. 2019, as arcface-caffe has it).

    `scale` starts as √2 · log(num_classes − 1). Each forward sets it to log(B) / cos θ for this very pass: B is the
    mean over items of Σ exp(scale · c) over classes but the label plus 1, θ the mean angle of all scores, at most π/4.
    Items with a negative label have no margin. Backward takes the scale for a constant.
    """

    no_capture = 'its scale carries over from one forward to the next'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        classes = self.param.adacos_add_m_scale_param.num_classes
        if classes <= 1:
            self.error(f'num_classes is {classes:g}, expected at least 2')
        self.scale = torch.tensor(math.sqrt(2) * math.log(classes - 1))

    def _moved(self, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return added_angle(own, self.param.adacos_add_m_scale_param.m)

    def _adapt(self, scores: torch.Tensor) -> None:
        """Set the scale by cosines (N, K)."""
        powers = (scores * self.scale.to(scores)).exp().scatter(1, self._index, 1)
        angle = scores.clamp(-1, 1).acos().mean().clamp(max=math.pi / 4)
        self.scale = (powers.sum() / len(scores)).log() / angle.cos()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores = bottom[0].tensor.reshape(bottom[1].count, -1)
        changed = self._change(bottom, skips_negative=True)
        self._adapt(scores)
        top[0].tensor = (changed * self.scale).reshape(top[0].shape)

    def _gradient(self, dy: torch.Tensor) -> torch.Tensor:
        return super()._gradient(dy).mul_(self.scale)
