"""What a TransformationParameter asks for: crop, mirror, subtract the mean, scale."""

import cv2
import numpy as np
import torch

from caffe.blobs.memory import to_device
from caffe.data.prefetch.batch import NewRow
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, wire

# a row of Transformer.draws
Draw = np.ndarray


class Transformer:
    """Turns pictures into rows of a batch: (crop · mirror − mean) · scale in float32, channels first.

    `place` and `place_planes` put one picture into its row of a batch, in the workers; `finish` makes the whole batch
    what the net gets. The workers do all arithmetic, so that `finish` has nothing left to do, unless `late`: then bytes
    stay bytes until they are on the device. That is for GPUs. A batch of bytes takes a quarter of the time on the bus
    (64 pictures of 3x112x96: 0.08 instead of 0.33 ms at 25 GB/s) and the workers are spared a tenth of their work; what
    the GPU does for it are three launches, some 0.03 ms for a batch of any size. A mean image, whose values differ by
    position, and float data are dealt with by the workers in either case.
    """

    def __init__(self, param: caffe_pb2.TransformationParameter, phase: int, late: bool = False) -> None:
        if param.HasField('mean_file') and param.mean_value:
            raise CaffeError('transform_param has mean_file and mean_value, expected one of them')
        self.crop: int = param.crop_size
        self.mirror: bool = param.mirror
        self.scale: float = param.scale
        self.mean_value = np.array(param.mean_value, np.float32)
        self._mean_column = self.mean_value.reshape(-1, 1, 1) if len(self.mean_value) else None
        self._mean: torch.Tensor | None = None
        self.mean_file: str = param.mean_file
        self.mean_image = read_mean(param.mean_file) if param.HasField('mean_file') else None
        self._late = late
        self._random_crop = bool(self.crop) and phase == caffe_pb2.TRAIN
        self.is_random = self._random_crop or self.mirror

    def draws(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Random numbers for `count` pictures: rows of (mirror, row offset, column offset), each in [0, 1)."""
        return generator.random((count, 3)) if self.is_random else np.zeros((count, 3))

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The (channels, height, width) that a picture has in the batch; CaffeError when it cannot be transformed."""
        if self.crop > min(height, width):
            raise CaffeError(f'crop_size {self.crop} is larger than the picture of {height}x{width} (height x width)')
        if len(self.mean_value) not in (0, 1, channels):
            raise CaffeError(
                f'mean_value is given {len(self.mean_value)} times, '
                f'expected once or {channels} times (once per channel)'
            )
        if self.mean_image is not None and self.mean_image.shape != (channels, height, width):
            raise CaffeError(
                f'the mean of {self.mean_file} has shape {self.mean_image.shape}, '
                f'the picture {(channels, height, width)}; expected the same'
            )
        return (channels, self.crop, self.crop) if self.crop else (channels, height, width)

    def place(self, image: np.ndarray, draw: Draw, new_row: NewRow) -> None:
        """Cut and mirror a picture (height, width[, channels]) of uint8 into `new_row(shape, dtype)`."""
        image = image if image.ndim == 3 else image[..., None]
        height, width, channels = image.shape
        if self.mean_image is not None or channels == 1:
            self.place_planes(image.transpose(2, 0, 1), draw, new_row)
            return
        shape = self.shape(channels, height, width)
        rows, columns = self._window(height, width, draw)
        window = image[rows, columns]
        planes = new_row(shape, np.dtype('u1')) if self._late else np.empty(shape, np.uint8)
        # cv2.split is several times faster than numpy at taking interleaved channels apart
        cv2.split(cv2.flip(window, 1) if self._flips(draw) else window, list(planes))
        if not self._late:
            self._to_float(planes, new_row(shape, np.dtype('f4')))

    def place_planes(self, planes: np.ndarray, draw: Draw, new_row: NewRow) -> None:
        """`place` for values of uint8 or float32 that have their channels first already."""
        shape = self.shape(*planes.shape)
        rows, columns = self._window(planes.shape[1], planes.shape[2], draw)
        step = -1 if self._flips(draw) else 1
        window = planes[:, rows, columns][..., ::step]
        if self._late and self.mean_image is None and planes.dtype == np.uint8:
            np.copyto(new_row(shape, planes.dtype), window)
            return
        # the mean belongs to the position in the uncropped picture
        mean = None if self.mean_image is None else self.mean_image[:, rows, columns][..., ::step]
        self._to_float(window, new_row(shape, np.dtype('f4')), mean)

    def _flips(self, draw: Draw) -> bool:
        return self.mirror and bool(draw[0] >= 0.5)

    @np.errstate(over='ignore', invalid='ignore')  # infinities in float data are passed on as they are
    def _to_float(self, values: np.ndarray, out: np.ndarray, mean: np.ndarray | None = None) -> None:
        """(values − mean) · scale into `out`, all (channels, height, width); `mean` stands in for the mean values."""
        mean = self._mean_column if mean is None else mean
        if mean is None:
            np.copyto(out, values)
        else:
            np.subtract(values, mean, out=out, dtype=np.float32)
        if self.scale != 1:
            np.multiply(out, np.float32(self.scale), out=out)

    def _window(self, height: int, width: int, draw: Draw) -> tuple[slice, slice]:
        """The rows and columns to keep, as slices: a random window in TRAIN, the centre in TEST."""
        if not self.crop:
            return slice(None), slice(None)
        spare = np.array([height - self.crop, width - self.crop])
        top, left = (draw[1:] * (spare + 1)).astype(int) if self._random_crop else spare // 2
        return slice(top, top + self.crop), slice(left, left + self.crop)

    def finish(self, batch: torch.Tensor) -> torch.Tensor:
        """A batch (N, C, H, W) that `place` filled, wherever it is by then, as the float32 tensor that the net gets."""
        if batch.dtype != torch.uint8:
            return batch
        values = batch.to(torch.float32)
        if self._mean_column is not None:
            values.sub_(self._mean_on(batch.device))
        if self.scale != 1:
            values.mul_(self.scale)
        return values

    def _mean_on(self, device: torch.device) -> torch.Tensor:
        if self._mean is None or self._mean.device != device:
            self._mean = to_device(torch.from_numpy(self._mean_column), device)
        return self._mean


def read_mean(path: str) -> np.ndarray:
    """The mean image of a .binaryproto file as float32 (channels, height, width)."""
    mean = wire.blob_array(wire.parse_raw(path, 'BlobProto'), path)
    if mean.ndim not in (3, 4) or (mean.ndim == 4 and mean.shape[0] != 1):
        raise CaffeError(f'{path}: has shape {mean.shape}, expected one mean image (1, channels, height, width)')
    return mean.reshape(mean.shape[-3:])
