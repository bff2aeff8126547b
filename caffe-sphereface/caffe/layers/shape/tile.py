"""Tile: copies of a blob, one after the other along an axis."""

from collections.abc import Sequence

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('Tile')
class Tile(Layer):
    """`tiles` copies of the bottom along `axis`."""

    bottoms = 1
    tops = 1
    no_capture = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.tiles = self.param.tile_param.tiles
        if self.tiles < 1:
            self.error(f'tiles is missing or {self.tiles}, expected at least 1')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        along = self.along = self.axis(self.param.tile_param.axis, bottom[0])
        top[0].reshape(*shape[:along], shape[along] * self.tiles, *shape[along + 1 :])

    def _split(self, shape: Sequence[int]) -> list[int]:
        """`shape` with an axis for the copies before the one that they are put along."""
        return [*shape[: self.along], self.tiles, *shape[self.along :]]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        top[0].tensor = x.unsqueeze(self.along).expand(self._split(x.shape)).reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = top[0].grad.reshape(self._split(bottom[0].shape)).sum(self.along)
