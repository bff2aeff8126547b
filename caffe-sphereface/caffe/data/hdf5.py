"""Rows of HDF5 datasets from a list of files, over and over."""

from collections.abc import Iterable, Sequence

import numpy as np

from caffe.errors import CaffeError
from caffe.proto.files import read_bytes
from caffe.proto.hdf5_file import open_hdf5, read_array


def read_file_list(source: str) -> list[str]:
    """The paths in a list of HDF5 files, one per line."""
    paths = [line.strip() for line in read_bytes(source).decode(errors='surrogateescape').splitlines()]
    paths = [path for path in paths if path]
    if not paths:
        raise CaffeError(f'{source}: lists no files, expected lines with the path of an HDF5 file each')
    return paths


def read_datasets(path: str, names: Sequence[str]) -> list[np.ndarray]:
    """The datasets of an HDF5 file as float32 arrays with the same number of rows."""
    with open_hdf5(path) as file:
        arrays = [read_array(file, name, path) for name in names]
    rows = [len(array) if array.ndim else 0 for array in arrays]
    if len(set(rows)) > 1 or not rows[0]:
        raise CaffeError(f'{path}: datasets {", ".join(names)} have {rows} rows, expected the same number, at least 1')
    return arrays


class Hdf5Rows:
    """Batches of rows; with `shuffle`, files and the rows in each come in another order every time round."""

    def __init__(self, source: str, names: Iterable[str], shuffle: bool, generator: np.random.Generator) -> None:
        self._files, self._names = read_file_list(source), list(names)
        self._shuffle, self._generator = shuffle, generator
        self._queue: list[int] = []
        self._arrays: list[np.ndarray] = []
        self._path: str | None = None
        self._open_next()

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each dataset."""
        return [array.shape[1:] for array in self._arrays]

    def _permuted(self, count: int) -> np.ndarray:
        return self._generator.permutation(count) if self._shuffle else np.arange(count)

    def _open_next(self) -> None:
        if not self._queue:
            self._queue = self._permuted(len(self._files)).tolist()
        path = self._files[self._queue.pop(0)]
        if path != self._path:
            expected = self.shapes
            self._arrays, self._path = read_datasets(path, self._names), path
            if expected and self.shapes != expected:
                raise CaffeError(f'{path}: rows have shapes {self.shapes}, those of other files {expected}')
        self._rows = self._permuted(len(self._arrays[0]))

    def take(self, count: int) -> list[np.ndarray]:
        """The next `count` rows: a list of float32 arrays, one per dataset."""
        parts = []
        while count:
            if not len(self._rows):
                self._open_next()
            rows, self._rows = self._rows[:count], self._rows[count:]
            parts.append([array[rows] for array in self._arrays])
            count -= len(rows)
        return [np.concatenate(column) for column in zip(*parts)]
