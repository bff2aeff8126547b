"""Upsample: pictures made larger, by repetition or by putting maxima back in their places."""

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2


def has_mask(param: caffe_pb2.LayerParameter) -> bool:
    """Whether an Upsample layer is SegNet's, with the mask of a Pooling as its second bottom."""
    return len(param.bottom) > 1


@register('Upsample')
class Upsample(Layer):
    """y[h, w] = x[h / scale, w / scale] (MobileNet-YOLO); dx sums over the scale² places of each value."""

    bottoms = 1
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.upsample_param
        self.scale = param.scale if param.HasField('scale') else 1
        if self.scale < 1:
            self.error('scale is 0, expected at least 1')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_picture(bottom[0].shape)
        num, channels, height, width = bottom[0].shape
        top[0].reshape(num, channels, height * self.scale, width * self.scale)

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        num, channels, height, width = x.shape
        scale = self.scale
        spread = x.reshape(num, channels, height, 1, width, 1).expand(-1, -1, -1, scale, -1, scale)
        return spread.clone(memory_format=torch.contiguous_format).reshape(num, channels, height * scale, width * scale)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self.infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            num, channels, height, width = bottom[0].shape
            parts = top[0].grad.reshape(num, channels, height, self.scale, width, self.scale)
            bottom[0].grad = parts.sum((3, 5))


@register('Upsample', when=has_mask)
class MaskedUpsample(Layer):
    """y = 0 but y[mask] = x in each plane (SegNet, Badrinarayanan et al. 2015); dx = dy[mask].

    Bottoms: x and mask (N, C, H, W), the second top of a Pooling. The size is upsample_h and upsample_w, or that of
    the bottom times scale_h and scale_w, or times `scale` (2), less 1 with pad_out_h and pad_out_w.
    """

    bottoms = 2
    tops = 1
    no_diff_bottoms = (1,)
    kept = ('_places',)
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.upsample_param
        for first, second in (('scale_h', 'scale_w'), ('upsample_h', 'upsample_w')):
            if param.HasField(first) != param.HasField(second):
                self.error(f'has one of {first} and {second}, expected both or none')
        self.scales = (param.scale_h, param.scale_w) if param.HasField('scale_h') else self._square_scales()
        if 0 in self.scales:
            self.error(f'scale is {self.scales}, expected at least 1')
        if (param.pad_out_h or param.pad_out_w) and self.scales != (2, 2):
            self.error(f'has pad_out_h or pad_out_w with scale {self.scales}, expected them with scale 2 only')

    def _square_scales(self) -> tuple[int, int]:
        param = self.param.upsample_param
        return (param.scale if param.HasField('scale') else 2,) * 2

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, (values, mask) = self.param.upsample_param, bottom
        self.check_picture(values.shape)
        if mask.shape != values.shape:
            self.error(f'mask of shape {mask.shape}, expected that of bottom 0, {values.shape}')
        num, channels, height, width = values.shape
        if param.HasField('upsample_h'):
            size = param.upsample_h, param.upsample_w
        else:
            size = height * self.scales[0] - param.pad_out_h, width * self.scales[1] - param.pad_out_w
        top[0].reshape(num, channels, *size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, (num, channels, *size) = bottom[0].tensor, top[0].shape
        self._places = bottom[1].tensor.long().reshape(num, channels, -1)
        y = x.new_zeros(num, channels, size[0] * size[1])
        try:
            y.scatter_(2, self._places, x.reshape(num, channels, -1))
        except RuntimeError:
            low, high = int(self._places.min()), int(self._places.max())
            if low >= 0 and high < y.shape[2]:
                raise
            self.error(f'has a mask with indices from {low} to {high}, expected 0 to {y.shape[2] - 1}')
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'a mask')
        if propagate_down[0]:
            dy = top[0].grad.reshape(*self._places.shape[:2], -1)
            bottom[0].grad = dy.gather(2, self._places).reshape(bottom[0].shape)
