"""Concat, Slice, Split and Silence: blobs joined, cut, copied, ignored."""

import torch
from google.protobuf.message import Message

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Concat')
class Concat(Layer):
    """The bottoms one after the other along `axis`; all other dimensions agree."""

    bottoms = (1, None)
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.concat_param
        self.along = _along(self, bottom[0], param, 'concat_dim')
        # the top of a single bottom shares its memory
        self.infer = self._join if len(bottom) > 1 else None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = list(bottom[0].shape)
        for i, blob in enumerate(bottom[1:], 1):
            theirs = list(blob.shape)
            if len(theirs) != len(shape) or _without(theirs, self.along) != _without(shape, self.along):
                self.error(
                    f'bottom {i} has shape {blob.shape}, expected that of bottom 0, {bottom[0].shape}, '
                    f'but for axis {self.along}'
                )
        shape[self.along] = sum(blob.shape[self.along] for blob in bottom)
        top[0].reshape(*shape)
        if len(bottom) == 1:
            _share(bottom[0], top[0])

    def _join(self, *x: torch.Tensor) -> torch.Tensor:
        return torch.cat(x, self.along)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(bottom) > 1:
            top[0].tensor = self._join(*[blob.tensor for blob in bottom])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if len(bottom) > 1:
            parts = top[0].grad.split([blob.shape[self.along] for blob in bottom], self.along)
            for blob, part, needed in zip(bottom, parts, propagate_down):
                if needed:
                    blob.lend_grad(part)


@register('Slice')
class Slice(Layer):
    """Parts of the bottom along `axis`, cut at the slice points or into equal parts; `sizes` are theirs."""

    bottoms = 1
    tops = (1, None)
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.slice_param
        self.along = _along(self, bottom[0], param, 'slice_dim')
        if param.slice_point and len(param.slice_point) != len(top) - 1:
            self.error(f'has {len(param.slice_point)} slice_point for {len(top)} tops, expected {len(top) - 1}')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        self.sizes = self._parts(shape[self.along], len(top))
        for blob, size in zip(top, self.sizes):
            blob.reshape(*shape[: self.along], size, *shape[self.along + 1 :])
        if len(top) == 1:
            _share(bottom[0], top[0])

    def _parts(self, size: int, count: int) -> list[int]:
        points = list(self.param.slice_param.slice_point)
        if not points:
            if size % count:
                self.error(f'{size} along axis {self.along} cannot be cut into {count} equal parts')
            return [size // count] * count
        parts = [end - start for start, end in zip([0, *points], [*points, size])]
        if min(parts) < 1:
            self.error(f'slice_point {points} do not ascend between 0 and {size}')
        return parts

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(top) > 1:
            for blob, part in zip(top, bottom[0].tensor.split(self.sizes, self.along)):
                blob.lend_data(part)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0] and len(top) > 1:
            bottom[0].grad = torch.cat([blob.grad for blob in top], self.along)


@register('Split')
class Split(Layer):
    """The bottom once for every reader: tops share its data, its diff is the sum of theirs."""

    bottoms = 1
    tops = (1, None)
    kept = ()
    reads_back = ()
    passes_bottom_on = True
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in top:
            blob.reshape(*bottom[0].shape)
            blob.share_data(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            first, *others = [blob.grad for blob in top]
            if not others:
                bottom[0].lend_grad(first)
                return
            total = first + others[0]
            for grad in others[1:]:
                total.add_(grad)
            bottom[0].grad = total


@register('Silence')
class Silence(Layer):
    """Takes blobs that nothing else reads, so that they are not outputs of the net."""

    bottoms = (1, None)
    tops = 0
    no_capture = None

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for blob, needed in zip(bottom, propagate_down):
            if needed:
                blob.clear_grad()


def _along(layer: Layer, blob: Blob, param: Message, old_field: str) -> int:
    """The axis from `axis` or from the older unsigned field."""
    if not param.HasField(old_field):
        return layer.axis(param.axis, blob)
    if param.HasField('axis'):
        layer.error(f'has axis as well as {old_field}, expected one of them')
    return layer.axis(getattr(param, old_field), blob, old_field)


def _without(shape: list[int], axis: int) -> list[int]:
    return shape[:axis] + shape[axis + 1 :]


def _share(bottom: Blob, top: Blob) -> None:
    top.share_data(bottom)
    top.share_diff(bottom)
