"""DummyData: blobs filled by fillers."""

from caffe.blobs.blob import Blob
from caffe.blobs.fillers import fill
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2


@register('DummyData')
class DummyData(Layer):
    """Tops of stated shapes; constant ones are filled once, random ones anew in every forward."""

    bottoms = 0
    values_from = 'filler'
    tops = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.dummy_data_param
        shapes = self._shapes(param, len(top))
        fillers = param.data_filler or [caffe_pb2.FillerParameter()]
        if len(fillers) not in (1, len(top)):
            self.error(f'has {len(fillers)} data_filler for {len(top)} tops, expected none, one for all or one each')
        self._fillers = [fillers[i if len(fillers) > 1 else 0] for i in range(len(top))]
        for i, blob in enumerate(top):
            blob.reshape(*shapes[i])
            fill(blob, self._fillers[i], f"layer '{self.name}'")

    def _shapes(self, param: caffe_pb2.DummyDataParameter, count: int) -> list[tuple[int, ...]]:
        old = (param.num, param.channels, param.height, param.width)
        if param.shape and any(old):
            self.error('has shape and num, channels, height or width; expected one kind')
        for values in [param.shape] if param.shape else old:
            if len(values) not in (1, count):
                self.error(f'has {len(values)} shapes for {count} tops, expected one for all or one each')
        if param.shape:
            return [tuple(param.shape[i % len(param.shape)].dim) for i in range(count)]
        return [tuple(values[i % len(values)] for values in old) for i in range(count)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob, filler in zip(top, self._fillers):
            if filler.type != 'constant':
                fill(blob, filler, f"layer '{self.name}'")
