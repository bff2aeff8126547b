"""BatchReindex and Filter: some of a batch's items."""

from collections.abc import Sequence

import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register
from caffe.layers.support.row_lookup import take_rows


@register('BatchReindex')
class BatchReindex(Layer):
    """Item i of the top is item `index[i]` of the first bottom; the second bottom holds the indices."""

    bottoms = 2
    tops = 1
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(bottom[1].shape) != 1 or not bottom[0].shape:
            self.error(
                f'bottoms have shapes {bottom[0].shape} and {bottom[1].shape}, expected the second to have 1 axis'
            )
        top[0].reshape(bottom[1].shape[0], *bottom[0].shape[1:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._index = bottom[1].tensor.long()
        top[0].tensor = take_rows(self, bottom[0].tensor, self._index)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'indices')
        if propagate_down[0]:
            bottom[0].grad = _scatter(top[0].grad, self._index, bottom[0].shape)


@register('Filter')
class Filter(Layer):
    """The items of each bottom whose value in the last bottom, the selector (N), is not 0; a top for each."""

    bottoms = (2, None)
    tops = (1, None)
    open_axes = (0,)
    no_capture = 'how many items are left depends on their values'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(top) != len(bottom) - 1:
            self.error(f'has {len(top)} tops for {len(bottom) - 1} bottoms to filter, expected as many')
        self._index: torch.Tensor | None = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        count = bottom[-1].shape[0] if bottom[-1].shape else 0
        if bottom[-1].count != count:
            self.error(f'selector of shape {bottom[-1].shape}, expected one value per item')
        for i, blob in enumerate(bottom[:-1]):
            if blob.shape[:1] != (count,):
                self.error(f'bottom {i} has shape {blob.shape}, the selector has {count} items')
        if self._index is None:
            # while a net is being built the selector holds nothing yet: room for all
            self._index, kept = torch.empty(0, dtype=torch.long), count
        else:
            self._index = bottom[-1].tensor.reshape(-1).nonzero().squeeze(1)
            kept = len(self._index)
        for source, target in zip(bottom, top):
            target.reshape(kept, *source.shape[1:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for source, target in zip(bottom, top):
            target.tensor = source.tensor.index_select(0, self._index)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, len(bottom) - 1, 'indices')
        for source, target, needed in zip(bottom, top, propagate_down):
            if needed:
                source.grad = _scatter(target.grad, self._index, source.shape)


def _scatter(dy: torch.Tensor, index: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    return dy.new_zeros(shape).index_add_(0, index, dy)
