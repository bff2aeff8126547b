"""MemoryData: batches from arrays that the user hands over."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.blobs.memory import to_device
from caffe.layers.support.registry import Layer, register


@register('MemoryData')
class MemoryData(Layer):
    """Consecutive batches (N, C, H, W) and labels (N,) of the arrays given to `reset`, over and over."""

    bottoms = 0
    values_from = 'arrays'
    tops = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.memory_data_param
        self.batch_size = param.batch_size
        self.item = (param.channels, param.height, param.width)
        if not self.batch_size or not all(self.item):
            self.error(f'batch_size {self.batch_size}, channels, height, width {self.item}: expected at least 1 each')
        self._data: torch.Tensor | None = None
        self._labels: torch.Tensor | None = None
        self._position = 0
        top[0].reshape(self.batch_size, *self.item)
        top[1].reshape(self.batch_size)

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Use `data` (N, C, H, W) and `labels` (N,) or (N, 1, 1, 1) from now on; N is a multiple of batch_size.

        The arrays are not copied when they are contiguous float32; no transformation is applied.
        """
        data = np.ascontiguousarray(data, np.float32)
        labels = np.ascontiguousarray(labels, np.float32).reshape(-1)
        if data.ndim != 4 or data.shape[1:] != self.item or len(labels) != len(data):
            self.error(
                f'was given data {data.shape} and {len(labels)} labels, expected (N, {self.item[0]}, '
                f'{self.item[1]}, {self.item[2]}) and N labels'
            )
        if not len(data) or len(data) % self.batch_size:
            self.error(f'was given {len(data)} items, expected a multiple of batch_size {self.batch_size}')
        self._data, self._labels = torch.from_numpy(data), torch.from_numpy(labels)
        self._position = 0

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self._data is None or self._labels is None:
            self.error('has no data, expected set_input_arrays (or reset) before forward')
        rows = slice(self._position, self._position + self.batch_size)
        top[0].tensor = to_device(self._data[rows], self.device)
        top[1].tensor = to_device(self._labels[rows], self.device)
        self._position = rows.stop % len(self._data)
