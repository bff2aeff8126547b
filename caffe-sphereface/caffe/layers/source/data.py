"""Data: Datums from LMDB and LevelDB."""

from collections.abc import Callable

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer
from caffe.data.datum import datum_picture, datum_planes, parse_datum
from caffe.data.db import open_reader
from caffe.data.feed import Feed, forced_color, make_transformer, own_generator
from caffe.data.prefetch.batch import NewRow
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer, register


@register('Data')
class Data(Layer):
    """Batches (N, C, H, W), and labels (N,) when there is a second top, of a database in the order of its keys.

    With `shuffle`, of Intel's Caffe, each pass over an LMDB has a random order of its own.
    """

    bottoms = 0
    values_from = 'files'
    tops = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, color = self.param.data_param, forced_color(self)
        try:
            reader = open_reader(param.source, param.backend, own_generator() if param.shuffle else None)
        except CaffeError as error:
            self.error(str(error))
        transformer = make_transformer(self)
        load = _loader(param.source, color, transformer)
        self._feed = Feed(
            self,
            transformer,
            reader.step,
            load,
            param.batch_size,
            own_generator(),
            param.prefetch,
            divisible=param.backend == param.LMDB,
        )  # LevelDB has threads, which copies have not
        self._feed.shape_tops(self, top, reader.peek())
        log.info('data_layer.cpp:41', f'output data size: {",".join(map(str, top[0].shape))}')

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._feed.forward(self, top)


def _loader(
    source: str, color: bool | None, transformer: Transformer
) -> Callable[[tuple[bytes, Callable[[], bytes]], Draw, NewRow], int]:
    def load(record: tuple[bytes, Callable[[], bytes]], draw: Draw, new_row: NewRow) -> int:
        key, fetch = record
        try:
            datum = parse_datum(fetch())
            if datum.encoded:
                transformer.place(datum_picture(datum, color), draw, new_row)
            else:
                transformer.place_planes(datum_planes(datum), draw, new_row)
        except CaffeError as error:
            raise CaffeError(f"{source}: record '{key.decode(errors='replace')}': {error}") from None
        return datum.label

    return load
