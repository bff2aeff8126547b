"""Interp: pictures in another size by bilinear interpolation."""

import torch
import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Interp')
class Interp(Layer):
    """(N, C, H, W) resized with aligned corners, source = i · (in − 1) / (out − 1), of PSPNet's fork (from DeepLab).

    Pads of at most 0 crop the bottom first. The size is what the fields give that are written, in this order: shrink
    alone (size − 1) / s + 1, zoom alone size + (size − 1)(z − 1), height and width, shrink and then zoom,
    full_zoom_factor size · z (Synopsys). `kept_rows` and `kept_columns` are the (start, end) left by cropping.
    """

    bottoms = 1
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.interp_param
        if param.pad_beg > 0 or param.pad_end > 0:
            self.error(f'pad_beg {param.pad_beg}, pad_end {param.pad_end}, expected values of at most 0, which crop')
        for name in ('height', 'width', 'zoom_factor', 'shrink_factor', 'full_zoom_factor'):
            if param.HasField(name) and getattr(param, name) < 1:
                self.error(f'{name} is {getattr(param, name)}, expected at least 1')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, param = bottom[0].shape, self.param.interp_param
        self.check_picture(shape)
        self.kept_rows, self.kept_columns = ((-param.pad_beg, size + param.pad_end) for size in shape[2:])
        sizes = [end - start for start, end in (self.kept_rows, self.kept_columns)]
        if min(sizes) < 1:
            self.error(f'pads of {param.pad_beg} and {param.pad_end} leave nothing of a bottom of shape {shape}')
        self.size = self._size(sizes)
        top[0].reshape(*shape[:2], *self.size)

    def _size(self, sizes: list[int]) -> list[int]:
        """(height, width) for those of the cropped bottom."""
        param = self.param.interp_param
        shrinks, zooms = param.HasField('shrink_factor'), param.HasField('zoom_factor')
        if param.HasField('height') and param.HasField('width') and shrinks == zooms:
            return [param.height, param.width]
        if shrinks or zooms:
            small = [(size - 1) // param.shrink_factor + 1 for size in sizes]
            return [size + (size - 1) * (param.zoom_factor - 1) for size in small]
        if param.HasField('full_zoom_factor'):
            return [size * param.full_zoom_factor for size in sizes]
        self.error('has no size, expected height and width, shrink_factor, zoom_factor or full_zoom_factor')

    def _cropped(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, slice(*self.kept_rows), slice(*self.kept_columns)]

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """The top's values from the bottom's."""
        inner = self._cropped(x)
        if list(inner.shape[2:]) == self.size:
            return inner.clone()
        return F.interpolate(inner, self.size, mode='bilinear', align_corners=True)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].tensor = self.infer(bottom[0].tensor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        (first, end), (left, right) = self.kept_rows, self.kept_columns
        num, channels, height, width = bottom[0].shape
        dx = torch.ops.aten.upsample_bilinear2d_backward(
            top[0].grad.contiguous(), self.size, [num, channels, end - first, right - left], True
        )
        bottom[0].grad = F.pad(dx, [left, width - right, first, height - end])
