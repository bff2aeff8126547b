"""YoloSeg: which classes a pixel belongs to, each by itself, as MobileNet-YOLO learns it beside its detectors."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import BlobCount, Layer, register


@register('YoloSeg')
class YoloSeg(Layer):
    """top = Σ d² / N with d = object_scale · (σ(x) − t) over maps x and targets t (N, C, H, W); the gradient is d / N.

    With a third bottom (N, C), how many pixels of each picture a class has, d where t > 0.5 is multiplied by 2 − r, r
    the class's pixels in the batch over all others. `num_class`, `class_scale`, `use_logic_gradient` and
    `use_hardsigmoid` have no effect, as there.
    """

    bottoms: BlobCount = (2, 3)
    tops = 1
    loss = True
    auto_top = True
    no_diff_bottoms = (1, 2)
    kept = ('_grad',)
    reads_back = ()
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        self.check_picture(shape)
        if bottom[1].shape != shape:
            self.error(f"bottom '{bottom[1].name}' has shape {bottom[1].shape}, expected {shape}, as the predictions")
        if len(bottom) > 2 and bottom[2].count != shape[0] * shape[1]:
            self.error(f"bottom '{bottom[2].name}' has shape {bottom[2].shape}, expected {shape[:2]}: pixels by class")
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, target = bottom[0].tensor, bottom[1].tensor
        self._grad = (torch.sigmoid(x) - target) * self.param.yolo_seg_param.object_scale
        if len(bottom) > 2:
            images, classes, height, width = x.shape
            own = bottom[2].tensor.reshape(images, classes).sum(0)
            rare = 2 - own / (images * height * width - own)
            self._grad *= torch.where(target > 0.5, rare.reshape(1, -1, 1, 1), 1)
        top[0].tensor = self._grad.square().sum() / x.shape[0]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'targets')
        if len(bottom) > 2:
            self.refuse_gradient(propagate_down, 2, 'counts')
        if propagate_down[0]:
            bottom[0].grad = self._grad * (top[0].grad / bottom[0].shape[0])
