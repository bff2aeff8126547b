"""LabelSpecificAdd and LabelSpecificMargin: a margin on the label's score, added or as an angle."""

import math

import torch

from caffe.blobs.blob import Blob
from caffe.blobs.number import Number
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.layers.support.scores import labelled, reshape_like_scores
from caffe.proto import caffe_pb2


@register('LabelSpecificAdd')
class LabelSpecificAdd(Layer):
    """y = x but at the label, where `bias` is added if x > −bias, in the TRAIN phase; dx = dy (CosFace, Wang 2018).

    Bottoms: scores (N, …) and labels (N). `bias` is negative. With `bias_base` the bias is
    bias_base + (1 + bias_gamma · iteration)^bias_power − 1, at most bias_max and then at least bias_min, and a second
    top (1) receives it; every TRAIN forward counts one iteration (caffe-windows).
    """

    bottoms = 2
    tops = (1, 2)
    in_place = True
    no_diff_bottoms = (1,)
    kept = ()
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.label_specific_add_param
        self.iteration = param.iteration
        self.numbers = (self.bias,) = (Number(param.bias),)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        reshape_like_scores(self, bottom, top)
        if len(top) > 1:
            top[1].reshape(1)

    def advance(self) -> None:
        """In TRAIN the bias of this iteration where it follows a schedule, and one iteration more."""
        param = self.param.label_specific_add_param
        if self.phase == caffe_pb2.TRAIN and param.HasField('bias_base'):
            bias = param.bias_base + (1 + param.bias_gamma * self.iteration) ** param.bias_power - 1
            self.bias.set(max(min(bias, param.bias_max), param.bias_min))
            self.iteration += 1

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.phase == caffe_pb2.TRAIN:
            bias = self.bias.value
            scores, index, own, _ = labelled(self, bottom)
            moved = torch.where(own > -bias, own + bias, own)
            top[0].tensor = scores.scatter(1, index, moved).reshape(top[0].shape)
        elif top[0] is not bottom[0]:
            top[0].tensor = bottom[0].tensor.clone()
        if len(top) > 1:
            top[1].tensor = self.bias.as_blob(self.device)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0] and top[0] is not bottom[0]:
            bottom[0].lend_grad(top[0].grad)


@register('LabelSpecificMargin')
class LabelSpecificMargin(Layer):
    """At the label s becomes s · cos m − sqrt(1 − s² + 1e-12) · sin m in the TRAIN phase, else all is copied.

    Bottoms: scores (N, …) and labels (N). m in degrees is the one value of its blob, which does not learn. With
    `margin_base` it is set to margin_base + (1 + gamma · iteration)^power − 1, at most a written margin_max; every
    forward counts one iteration. A second top (1) receives it (caffe-windows, Caffe-ZF).
    """

    bottoms = 2
    tops = (1, 2)
    in_place = True
    no_diff_bottoms = (1,)
    kept = ('_index', '_slope')
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.label_specific_margin_param
        for name in ('auto_tune', 'pass_bp'):
            if getattr(param, name):
                self.error(f'has {name}, which only GPU code of caffe-windows has, expected a fixed or annealed margin')
        if param.type != param.HARD:
            self.error('has type: SOFT, which only GPU code of caffe-windows has, expected HARD')
        self.iteration = param.iteration
        add_parameter(self, (1,), caffe_pb2.FillerParameter())
        if not self.param.param:
            self.param.param.add()
        self.param.param[0].lr_mult = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        reshape_like_scores(self, bottom, top)
        if len(top) > 1:
            top[1].reshape(1)

    def advance(self) -> None:
        """Set the blob to the margin of this iteration where it follows a schedule, and count one more."""
        param = self.param.label_specific_margin_param
        if not param.HasField('margin_base'):
            return
        margin = param.margin_base + (1 + param.gamma * self.iteration) ** param.power - 1
        if param.HasField('margin_max'):
            margin = min(margin, param.margin_max)
        with self.blobs[0].changing() as value:
            value.fill_(margin)
        self.iteration += 1

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        margin = self.blobs[0].tensor
        self._index = self._slope = None
        if self.phase == caffe_pb2.TRAIN:
            angle = margin * (math.pi / 180)
            scores, self._index, own, _ = labelled(self, bottom)
            root = (1 - own.square() + 1e-12).sqrt()
            self._slope = angle.cos() + own / root * angle.sin()
            moved = torch.where(margin == 0, own, own * angle.cos() - root * angle.sin())
            top[0].tensor = scores.scatter(1, self._index, moved).reshape(top[0].shape)
        elif top[0] is not bottom[0]:
            top[0].tensor = bottom[0].tensor.clone()
        if len(top) > 1:
            top[1].tensor = margin.clone()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            dx = top[0].grad.clone()
            if self._index is not None:
                rows = dx.view(len(self._index), -1)
                rows.scatter_(1, self._index, rows.gather(1, self._index) * self._slope)
            bottom[0].grad = dx


@register('LabelSpecificRescale')
class LabelSpecificRescale(Layer):
    """y = x · positive_weight at the label, x · negative_weight elsewhere, in TRAIN, and in TEST with `rescale_test`.

    Bottoms: scores (N, …) and labels (N). With `for_ip` the label's score is left alone unless it is above 0; with
    `bias_fix` 1 − positive_weight is added to it; with `power_on_positive` it becomes sign(x) · |x|^positive_weight.
    With `positive_weight_base` that weight is, in TRAIN, positive_weight_base · (1 + gamma · iteration)^−power, at
    least positive_weight_min and then at most positive_weight_max; every forward counts one iteration before. A second
    top (1) receives it (caffe-windows).
    """

    bottoms = 2
    tops = (1, 2)
    no_diff_bottoms = (1,)
    kept = ('_factors',)
    reads_back = ()
    no_capture = 'counts its forwards on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.iteration = self.param.label_specific_rescale_param.iteration
        self.weight: float = self.param.label_specific_rescale_param.positive_weight

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        reshape_like_scores(self, bottom, top)
        for blob in top[1:]:
            blob.reshape(1)

    def advance(self) -> None:
        """In TRAIN the weight of this iteration where it follows a schedule."""
        param = self.param.label_specific_rescale_param
        if self.phase != caffe_pb2.TRAIN or not param.HasField('positive_weight_base'):
            return
        self.iteration += 1
        self.weight = param.positive_weight_base * (1 + param.gamma * self.iteration) ** -param.power
        if param.HasField('positive_weight_min'):
            self.weight = max(self.weight, param.positive_weight_min)
        if param.HasField('positive_weight_max'):
            self.weight = min(self.weight, param.positive_weight_max)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.label_specific_rescale_param
        scores, index, own, _ = labelled(self, bottom)
        factors = torch.ones_like(scores)
        top[0].tensor = bottom[0].tensor.clone()
        if self.phase == caffe_pb2.TRAIN or param.rescale_test:
            changed = own > 0 if param.for_ip else torch.ones_like(own).bool()
            if self.weight == 1:
                changed = torch.zeros_like(changed)
            moved, slope = self._moved(own)
            factors = factors * param.negative_weight
            factors.scatter_(1, index, torch.where(changed, slope, 1))
            values = (scores * param.negative_weight).scatter(1, index, torch.where(changed, moved, own))
            top[0].tensor = values.reshape(top[0].shape)
        self._factors = factors
        for blob in top[1:]:
            blob.tensor = factors.new_full((1,), self.weight)

    def _moved(self, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the labels' scores (N, 1) become, and the derivative."""
        param = self.param.label_specific_rescale_param
        if param.power_on_positive:
            return own.sign() * own.abs() ** self.weight, self.weight * own.abs() ** (self.weight - 1)
        return own * self.weight + param.bias_fix * (1 - self.weight), torch.full_like(own, self.weight)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'labels')
        if propagate_down[0]:
            bottom[0].grad = top[0].grad * self._factors.reshape(top[0].shape)
