"""Convolution with padding of its own on each side."""

import torch.nn.functional as F

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import register
from caffe.layers.support.window import Window
from caffe.layers.vision.convolution import Convolution
from caffe.layers.vision.sides import margins, pads_sides


@register('Convolution', 'DepthwiseConvolution', when=pads_sides)
class SidedConvolution(Convolution):
    """Convolution of a bottom (N, C, H, W) with zeros around it, `margins` many: left, right, above, below.

    Of Synopsys' fork: `pad_l`, `pad_r`, `pad_t`, `pad_b`, or `pad_type: 1` for TensorFlow's SAME, where `pad_h` and
    `pad_w` do not count. `window` is that over the padded bottom.
    """

    bottoms = 1
    tops = 1
    reads_back = ()
    no_capture = 'it keeps the padded bottom for its backward'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.convolution_param
        self.check_picture(bottom[0].shape)
        if param.pad_type not in (0, 1):
            self.error(f'pad_type is {param.pad_type}, expected 0, or 1 for size / stride windows')
        if not param.pad_type and (any(param.pad) or param.pad_h or param.pad_w):
            self.error('has pad as well as pad_l, pad_r, pad_t or pad_b, expected one of them')
        self._padded = Blob(*bottom[0].shape, name=self.name)
        self._pad(Window(self, bottom[0]), bottom[0])
        super().setup([self._padded], top)

    def _window_over(self, blob: Blob) -> Window:
        window = Window(self, blob)
        window.pad, window.fits_pad = (0, 0), False
        return window

    def _pad(self, window: Window, bottom: Blob) -> None:
        """Give the padded bottom its shape."""
        shape = bottom.shape
        self.check_picture(shape)
        left, right, above, below = self.margins = margins(
            self.param.convolution_param, window.span, window.stride, shape[2:]
        )
        self._padded.reshape(*shape[:2], shape[2] + above + below, shape[3] + left + right)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._pad(self.window, bottom[0])
        super().reshape([self._padded], top)

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """No: what is folded pads both sides alike."""
        return False

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._padded.tensor = F.pad(bottom[0].tensor, self.margins)
        super().forward([self._padded], top)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        super().backward(top, propagate_down, [self._padded])
        if propagate_down[0]:
            bottom[0].grad = F.pad(self._padded.grad, [-margin for margin in self.margins])
