"""HDF5Data and HDF5Output: rows of HDF5 datasets in and out of a net."""

import torch

from caffe.blobs.blob import Blob
from caffe.blobs.memory import to_device
from caffe.data.feed import own_generator
from caffe.data.hdf5 import Hdf5Rows
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer, register
from caffe.parallel.rank import shard
from caffe.proto import caffe_pb2
from caffe.proto.hdf5_file import append_rows, write_rows


@register('HDF5Data')
class HDF5Data(Layer):
    """Batches of the rows of one dataset per top, named like the top, from the files that `source` lists."""

    bottoms = 0
    values_from = 'files'
    tops = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.hdf5_data_param
        if not param.batch_size:
            self.error('batch_size is 0, expected at least 1')
        if self.param.HasField('transform_param'):
            self.error('has transform_param, expected none: HDF5 data is taken as it is')
        self.batch_size = param.batch_size
        try:
            self._rows = Hdf5Rows(param.source, self.param.top, param.shuffle, own_generator())
        except CaffeError as error:
            self.error(str(error))
        for blob, shape in zip(top, self._rows.shapes):
            blob.reshape(self.batch_size, *shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        rank, count = shard() if self.phase == caffe_pb2.TRAIN else (0, 1)
        try:
            values = self._rows.take(self.batch_size * count)
        except CaffeError as error:
            self.error(str(error))
        for blob, rows in zip(top, values):
            blob.tensor = to_device(torch.from_numpy(rows[rank::count]).contiguous(), self.device)


@register('HDF5Output')
class HDF5Output(Layer):
    """Writes its bottoms as datasets `data` and `label` of a file; every further forward appends its rows."""

    bottoms = 2
    tops = 0
    no_capture = 'writes files'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.file_name = self.param.hdf5_output_param.file_name
        if not self.file_name:
            self.error('has no file_name in hdf5_output_param')
        self._started = False

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if bottom[0].num != bottom[1].num:
            self.error(f'bottoms have {bottom[0].num} and {bottom[1].num} rows, expected the same number')

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        rows = {name: blob.tensor.cpu().numpy() for name, blob in zip(('data', 'label'), bottom)}
        try:
            if self._started:
                append_rows(self.file_name, rows)
            else:
                write_rows(self.file_name, rows)
        except CaffeError as error:
            self.error(str(error))
        self._started = True
