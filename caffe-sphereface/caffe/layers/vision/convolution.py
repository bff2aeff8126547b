"""Convolution and Deconvolution over 0 to 3 spatial axes."""

from collections.abc import Sequence
from math import prod

import torch

from caffe import precision
from caffe.blobs.blob import Blob
from caffe.blobs.memory_format import as_channels_last, as_contiguous, with_batch_stride
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import BlobCount, Layer, register
from caffe.layers.support.window import Window
from caffe.layers.vision import small_convolution as small
from caffe.proto.caffe_pb2 import TRAIN, ConvolutionParameter


@register('Convolution', 'Deconvolution', 'DepthwiseConvolution')
class Convolution(Layer):
    """Cross-correlation with learned filters of shape (outputs, channels / group, kernel…); sizes round down.

    Deconvolution is its transpose, with filters of shape (channels, outputs / group, kernel…). Each bottom is filtered
    with the same weights into its own top. `window` is the Window, and `geometry` what torch.convolution takes behind
    the bias: stride, pad, dilation, whether transposed, output padding, groups. DepthwiseConvolution of the forks is
    Convolution with another name: `group` has to say that it is depthwise.
    """

    bottoms: BlobCount = (1, None)
    tops: BlobCount = (1, None)
    kept = ('_columns',)
    folds_as = 'convolution'
    reads_back: Sequence[str] = ('bottom',)
    no_capture: str | None = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.convolution_param
        if param.HasField('kernel_depth'):
            self.error('has kernel_depth, expected it in a Convolution3D')
        self.transposed = self.type.startswith('Deconvolution')
        self.window = self._window_over(bottom[0])
        self.channels = bottom[0].shape[self.window.axis]
        self.outputs, self.group = self._filters()
        if len(bottom) != len(top):
            self.error(f'has {len(bottom)} bottoms and {len(top)} tops, expected as many tops as bottoms')
        if not self.outputs:
            self.error('num_output is 0, expected at least 1')
        for what, count in (('channels of the bottom', self.channels), ('num_output', self.outputs)):
            if not self.group or count % self.group:
                self.error(f'group {self.group} does not divide {what}, {count}')
        self._shapes: list[tuple[int, ...]] | None = None
        self._columns: list[torch.Tensor | None] = [None] * len(bottom)
        self.geometry = self._arguments()
        self._fit(bottom)
        self._make_blobs(param)

    def _window_over(self, blob: Blob) -> Window:
        return Window(self, blob)

    def _filters(self) -> tuple[int, int]:
        """(number of outputs, number of groups)."""
        return self.param.convolution_param.num_output, self.param.convolution_param.group

    def _make_blobs(self, param: ConvolutionParameter) -> None:
        rows, columns = (self.channels, self.outputs) if self.transposed else (self.outputs, self.channels)
        add_parameter(self, (rows, columns // self.group, *self.window.kernel), param.weight_filler)
        if param.bias_term:
            add_parameter(self, (self.outputs,), param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._fit(bottom)
        for target, shape in zip(top, self._outputs):
            target.reshape(*shape)

    def _fit(self, bottom: list[Blob]) -> None:
        """Hold the bottoms' shapes against the weights and compute those of the tops."""
        shapes = [blob.shape for blob in bottom]
        if shapes == self._shapes:
            return
        window = self.window
        sizes = window.transposed_output if self.transposed else window.output
        for shape in shapes:
            if shape != shapes[0]:
                self.error(f'bottoms have shapes {shapes[0]} and {shape}, expected the same')
            if len(shape) != window.axis + 1 + window.axes or shape[window.axis] != self.channels:
                self.error(
                    f'bottom of shape {shape} does not fit weights for {self.channels} channels '
                    f'and {window.axes} spatial axes'
                )
        self._outputs = [(*s[: window.axis], self.outputs, *sizes(s[window.axis + 1 :])) for s in shapes]
        self._shapes = shapes

    def _as_batch(self, tensor: torch.Tensor) -> torch.Tensor:
        """(pictures, channels, space…) with at least one spatial axis, as the kernels take it."""
        window = self.window
        if window.axis == 1 and window.axes:
            return tensor
        shape = tensor.shape
        return tensor.reshape(window.batch(shape), *shape[window.axis :], *[1] * (not window.axes))

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """Whether the layer is a convolution of pictures, without windows that lie wholly in the pad."""
        window = self.window
        return not self.transposed and window.axis == 1 and window.axes == 2 and not window.fits_pad

    def in_fast_format(self, x: torch.Tensor) -> torch.Tensor:
        """The values of a bottom (N, C, H, W) in the memory format in which kernels are fast, and right."""
        return self._ordered(x, self.is_narrow(x.shape))

    def is_narrow(self, shape: Sequence[int]) -> bool:
        """Whether a bottom of that shape has one channel, and its top one column.

        oneDNN's kernels (3.12) then take the strides of channels and columns for each other if they can: garbage.
        """
        return len(shape) == 4 and shape[1] == 1 and not self.transposed and self.window.output(shape[2:])[1] == 1

    def _ordered(self, x: torch.Tensor, outside: bool = False) -> torch.Tensor:
        if self.transposed:
            return x
        # with channels_last oneDNN's kernels crash on windows that lie wholly in the pad
        return as_contiguous(x) if outside or self.window.fits_pad else as_channels_last(x)

    def used(self, blob: Blob) -> torch.Tensor:
        """What forward takes of a parameter."""
        return blob.tensor

    def used_backward(self, blob: Blob) -> torch.Tensor:
        """What the gradient of the bottom takes of a parameter."""
        return blob.tensor

    def _as_filters(self, weight: torch.Tensor) -> torch.Tensor:
        return weight if self.window.axes else weight.unsqueeze(-1)

    def _arguments(self) -> tuple[list[int], list[int], list[int], bool, list[int], int]:
        """The values of `geometry`, with a spatial axis of one place where there is none."""
        window = self.window
        none = not window.axes
        return (
            [*window.stride, *[1] * none],
            [*window.pad, *[0] * none],
            [*window.dilation, *[1] * none],
            self.transposed,
            [0] * max(1, window.axes),
            self.group,
        )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        weight = self._as_filters(self.used(self.blobs[0]))
        bias = self.used(self.blobs[1]) if len(self.blobs) > 1 else None
        self._columns = [None] * len(bottom)
        for i, (source, target) in enumerate(zip(bottom, top)):
            x = self._as_batch(source.tensor)
            if self._goes_small(x, target):
                self._columns[i] = small.columns_of(x, self.window.kernel, *self.geometry[:3])
                y = small.forward(self._columns[i], weight, bias)
            else:
                y = precision.convolution(self.in_fast_format(x), weight, bias, self.geometry)
            target.tensor = with_batch_stride(y.reshape(target.shape))

    def _goes_small(self, x: torch.Tensor, target: Blob) -> bool:
        return (
            self.needs_backward
            and self.phase == TRAIN
            and self.group == 1
            and not self.transposed
            and self.window.axes == 2
            and not precision.is_bf16()
            and small.is_small(x, self.blobs[0].tensor, prod(target.shape[-2:]))
        )

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        wanted = [*self.param_propagate_down, False][:2]
        weight = self._as_filters(self.used_backward(self.blobs[0]))
        for source, target, needed, columns in zip(bottom, top, propagate_down, self._columns):
            if not (needed or any(wanted)):
                continue
            if columns is None:
                dx, dweight, dbias = precision.convolution_backward(
                    self._ordered(self._as_batch(target.grad)),
                    self.in_fast_format(self._as_batch(source.tensor)),
                    weight,
                    self.geometry,
                    [needed, *wanted],
                )
            else:
                dx, dweight, dbias = small.backward(
                    target.grad,
                    columns,
                    weight,
                    source.shape[-2:],
                    self.window.kernel,
                    *self.geometry[:3],
                    [needed, *wanted],
                )
            if dx is not None:
                source.grad = with_batch_stride(dx.reshape(source.shape))
            for blob, grad in zip(self.blobs, (dweight, dbias)):
                if grad is not None:
                    blob.add_grad(grad.reshape(blob.shape))
