"""Dropout (Srivastava et al. 2014): inverted, or with the scale in TEST as Fast R-CNN's Caffe has it."""

import torch

from caffe import random
from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Dropout')
class Dropout(Layer):
    """Each value is zero with probability `dropout_ratio` and divided by 1 − dropout_ratio otherwise.

    TEST passes everything on. With `scale_train: false` TRAIN leaves what it keeps as it is, and TEST multiplies by
    1 − dropout_ratio instead. With `sample_weights_test`, of Bayesian SegNet, TEST draws as TRAIN does.
    """

    bottoms = 1
    tops = 1
    in_place = True
    kept = ('_mask',)
    per_channel = True
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            self.error(f'dropout_ratio is {self.ratio:g}, expected at least 0 and less than 1')
        # what is drawn in the TEST phase too counts as in TRAIN
        self.is_test = bool(self.phase) and not self.param.dropout_param.sample_weights_test
        self.test_scale = 1 if self.param.dropout_param.scale_train else 1 - self.ratio

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        if self.is_test and self.test_scale != 1:
            top[0].tensor = x * self.test_scale
            return
        if self.is_test:
            if bottom[0] is not top[0]:
                top[0].lend_data(x)
            return
        keep = 1 - self.ratio
        self._mask = torch.empty_like(x).bernoulli_(keep, generator=random.generator(self.device))
        self._mask.div_(keep / self.test_scale)
        top[0].tensor = x * self._mask

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if not self.is_test:
            bottom[0].grad = top[0].grad * self._mask
        elif self.test_scale != 1:
            bottom[0].grad = top[0].grad * self.test_scale
        elif bottom[0] is not top[0]:
            bottom[0].lend_grad(top[0].grad)
