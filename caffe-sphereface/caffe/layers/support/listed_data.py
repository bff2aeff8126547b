"""What data layers share that read the entries of a list."""

from collections.abc import Callable

from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer
from caffe.data.feed import Feed, Listed, order_of_list, own_generator
from caffe.data.prefetch.batch import Label, NewRow
from caffe.layers.support.registry import BlobCount, Layer


class ListedData(Layer):
    """Batches of what a list names, in its order or in a random one. `setup` ends with `read_ahead`."""

    bottoms = 0
    values_from = 'files'
    tops: BlobCount = 2
    _feed: Feed[int]

    def read_ahead(
        self,
        top: list[Blob],
        param: Listed,
        count: int,
        transformer: Transformer,
        load: Callable[[int, Draw, NewRow], Label],
        divisible: bool = True,
    ) -> None:
        """Shape the tops and begin to read a list of `count` entries; the other arguments are a `Feed`'s."""
        generator = own_generator()
        order = order_of_list(self, param, count, generator)
        self._feed = Feed(self, transformer, order.step, load, param.batch_size, generator, divisible=divisible)
        self._feed.shape_tops(self, top, order.peek())

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._feed.forward(self, top)
