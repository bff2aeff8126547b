"""Flatten and Reshape: the same values under another shape, without a copy."""

from collections.abc import Sequence
from math import prod

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


def _view(bottom: Blob, top: Blob, shape: Sequence[int]) -> None:
    top.reshape(*shape)
    top.share_data(bottom)
    top.share_diff(bottom)


@register('Flatten')
class Flatten(Layer):
    """Axes from `axis` to `end_axis` (inclusive) become one."""

    bottoms = 1
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, shape = self.param.flatten_param, bottom[0].shape
        start = self.axis(param.axis, bottom[0])
        end = self.axis(param.end_axis, bottom[0], 'end_axis') + 1
        if end < start:
            self.error(f'end_axis {param.end_axis} lies before axis {param.axis} for a bottom of shape {shape}')
        _view(bottom[0], top[0], (*shape[:start], prod(shape[start:end]), *shape[end:]))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass


@register('Reshape')
class Reshape(Layer):
    """`num_axes` axes from `axis` on become `shape`, in which 0 copies a dimension and one -1 is inferred."""

    bottoms = 1
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, dims = bottom[0].shape, list(self.param.reshape_param.shape.dim)
        start, end = self._range(shape)
        for i, dim in enumerate(dims):
            if dim == 0:
                if start + i >= len(shape):
                    self.error(f'dim {i} is 0 (copied), but the bottom of shape {shape} has no axis {start + i}')
                dims[i] = shape[start + i]
        if dims.count(-1) > 1 or min(dims, default=0) < -1:
            self.error(f'shape {tuple(dims)}, expected dims of at least 0 and at most one -1')
        _view(bottom[0], top[0], self._infer(shape, [*shape[:start], *dims, *shape[end:]]))

    def _range(self, shape: Sequence[int]) -> tuple[int, int]:
        """The first axis to replace and the one after the last."""
        param, axes = self.param.reshape_param, len(shape)
        start = param.axis if param.axis >= 0 else axes + param.axis + 1
        end = axes if param.num_axes == -1 else start + param.num_axes
        if not 0 <= start <= end <= axes or param.num_axes < -1:
            self.error(
                f'axis {param.axis} with num_axes {param.num_axes} is out of range for a bottom of shape {shape}'
            )
        return start, end

    def _infer(self, shape: Sequence[int], dims: list[int]) -> list[int]:
        count = prod(shape)
        known = prod(d for d in dims if d != -1)
        if -1 in dims:
            if not known or count % known:
                self.error(f'cannot infer -1 in {tuple(dims)} for a bottom of shape {shape}')
            dims[dims.index(-1)] = count // known
        if prod(dims) != count:
            self.error(f'shape {tuple(dims)} holds {prod(dims)} values, the bottom of shape {shape} has {count}')
        return dims

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass
