"""The geometry of sliding windows, as Convolution, Deconvolution and Im2col read it from a ConvolutionParameter."""

from collections.abc import Sequence
from math import prod

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer


class Window:
    """Kernel, stride, pad and dilation (tuples, one value per spatial axis) of a layer with a `convolution_param`.

    Leading axes before `axis` count as a batch; the axes behind it are spatial. Raises CaffeError through `layer`
    for values that contradict each other or the bottom.
    """

    def __init__(self, layer: Layer, blob: Blob) -> None:
        param = layer.param.convolution_param
        self.layer = layer
        self.axis = layer.axis(param.axis, blob)
        self.axes = len(blob.shape) - self.axis - 1
        if self.axes > 3:
            layer.error(f'bottom of shape {blob.shape} has {self.axes} spatial axes, expected at most 3')
        self.kernel = self._values('kernel', 'kernel_size', None)
        self.stride = self._values('stride', 'stride', 1)
        self.pad = self._values('pad', 'pad', 0)
        self.dilation = self._spread('dilation', list(param.dilation), 1)
        for what in ('kernel', 'stride', 'dilation'):
            if 0 in getattr(self, what):
                layer.error(f'{what} is {getattr(self, what)}, expected values of at least 1')
        self.span = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel))
        # whether a window can lie wholly in the pad
        self.fits_pad = any(p >= s for p, s in zip(self.pad, self.span))

    def _values(self, what: str, field: str, default: int | None) -> tuple[int, ...]:
        """The repeated field, or the pair of fields with _h and _w that 2-D layers may give in its place."""
        param = self.layer.param.convolution_param
        repeated = list(getattr(param, field))
        if not (param.HasField(f'{what}_h') or param.HasField(f'{what}_w')):
            return self._spread(field, repeated, default)
        if repeated:
            self.layer.error(f'has {field} as well as {what}_h or {what}_w, expected one of them')
        if self.axes != 2:
            self.layer.error(f'{what}_h and {what}_w need a bottom with 2 spatial axes, it has {self.axes}')
        return getattr(param, f'{what}_h'), getattr(param, f'{what}_w')

    def _spread(self, field: str, values: list[int], default: int | None) -> tuple[int, ...]:
        if not values:
            if default is None and self.axes:
                self.layer.error(f'{field} is missing, expected it or kernel_h and kernel_w')
            values = [default or 0]
        if len(values) not in (1, self.axes) and self.axes:
            self.layer.error(
                f'{field} is given {len(values)} times, expected once or once per spatial axis ({self.axes})'
            )
        return tuple(values * self.axes if len(values) == 1 else values)

    def batch(self, shape: Sequence[int]) -> int:
        """How many pictures a blob of this shape holds."""
        return prod(shape[: self.axis])

    def output(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial output of a convolution for a spatial input `size`; rounds down."""
        out = tuple((n + 2 * p - s) // t + 1 for n, p, s, t in zip(size, self.pad, self.span, self.stride))
        if any(n < 1 for n in out):
            self.layer.error(
                f'kernel of span {self.span} is larger than the padded input '
                f'{tuple(n + 2 * p for n, p in zip(size, self.pad))}'
            )
        return out

    def transposed_output(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial output of a deconvolution for a spatial input `size`."""
        out = tuple(t * (n - 1) + s - 2 * p for n, p, s, t in zip(size, self.pad, self.span, self.stride))
        if any(n < 1 for n in out):
            self.layer.error(f'pad {self.pad} leaves no output for an input of {tuple(size)}')
        return out
