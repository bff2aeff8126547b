"""TransformationParameter at work: crop, mirror, subtract the mean, scale."""

import cv2
import numpy as np
import torch

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, wire


class Transformer:
    """Turns pictures into rows of a batch: (crop · mirror − mean) · scale in float32, channels first.

    The work has two halves. `place` cuts and mirrors one picture into its slot of a batch and runs in worker threads;
    `finish` turns a whole batch into floats on the device of the net. A batch stays uint8 in between, which quarters
    the copy to a GPU, unless a mean image (whose values differ by position) or float data forbid it.
    """

    def __init__(self, param, phase):
        if param.HasField('mean_file') and param.mean_value:
            raise CaffeError('transform_param has mean_file and mean_value, expected one of them')
        self.crop = param.crop_size
        self.mirror = param.mirror
        self.scale = param.scale
        self.mean_value = np.array(param.mean_value, np.float32)
        self.mean_file = param.mean_file
        self.mean_image = read_mean(param.mean_file) if param.HasField('mean_file') else None
        self._random_crop = bool(self.crop) and phase == caffe_pb2.TRAIN
        self.is_random = self._random_crop or self.mirror

    def draws(self, generator, count):
        """Random numbers for `count` pictures: rows of (mirror, row offset, column offset), each in [0, 1)."""
        return generator.random((count, 3)) if self.is_random else np.zeros((count, 3))

    def shape(self, channels, height, width):
        """The (channels, height, width) that a picture has in the batch; CaffeError when it cannot be transformed."""
        if self.crop > min(height, width):
            raise CaffeError(f'crop_size {self.crop} is larger than the picture of {height}x{width} (height x width)')
        if len(self.mean_value) not in (0, 1, channels):
            raise CaffeError(f'mean_value is given {len(self.mean_value)} times, expected once or {channels} times '
                             '(once a channel)')
        if self.mean_image is not None and self.mean_image.shape != (channels, height, width):
            raise CaffeError(f'the mean of {self.mean_file} has shape {self.mean_image.shape}, '
                             f'the picture {(channels, height, width)}; expected the same')
        return (channels, self.crop, self.crop) if self.crop else (channels, height, width)

    def place(self, image, draw, slot):
        """Cut and mirror a picture (height, width[, channels]) of uint8 into `slot(shape, dtype)`."""
        image = image if image.ndim == 3 else image[..., None]
        height, width, channels = image.shape
        shape = self.shape(channels, height, width)
        rows, columns = self._window(height, width, draw)
        flipped = self.mirror and draw[0] >= 0.5
        if self.mean_image is not None or channels == 1:
            self._copy(image.transpose(2, 0, 1), rows, columns, flipped, slot(shape, self._kind(image.dtype)))
            return
        window = image[rows, columns]
        # cv2.split is several times faster than numpy at taking interleaved channels apart
        cv2.split(cv2.flip(window, 1) if flipped else window, list(slot(shape, image.dtype)))

    def place_planes(self, planes, draw, slot):
        """`place` for values of uint8 or float32 that have their channels first already."""
        shape = self.shape(*planes.shape)
        rows, columns = self._window(*planes.shape[1:], draw)
        self._copy(planes, rows, columns, self.mirror and draw[0] >= 0.5, slot(shape, self._kind(planes.dtype)))

    def _kind(self, dtype):
        return np.dtype('f4') if self.mean_image is not None else dtype

    def _copy(self, planes, rows, columns, flipped, out):
        step = -1 if flipped else 1
        window = planes[:, rows, columns][..., ::step]
        if self.mean_image is None:
            np.copyto(out, window)
        else:
            # the mean belongs to the place in the uncropped picture
            np.subtract(window, self.mean_image[:, rows, columns][..., ::step], out=out, dtype=np.float32)

    def _window(self, height, width, draw):
        """The rows and columns to keep, as slices: a random window in TRAIN, the centre in TEST."""
        if not self.crop:
            return slice(None), slice(None)
        spare = np.array([height - self.crop, width - self.crop])
        top, left = (draw[1:] * (spare + 1)).astype(int) if self._random_crop else spare // 2
        return slice(top, top + self.crop), slice(left, left + self.crop)

    def finish(self, batch, device):
        """A batch (N, C, H, W) of uint8 or float32 as the float32 tensor that the net gets, on `device`.

        Float batches may be changed in place.
        """
        values = batch.to(device, non_blocking=True).to(torch.float32)
        if len(self.mean_value):
            values.sub_(torch.from_numpy(self.mean_value).to(device).reshape(-1, 1, 1))
        if self.scale != 1:
            values.mul_(self.scale)
        return values


def read_mean(path):
    """The mean image of a .binaryproto file as float32 (channels, height, width)."""
    mean = wire.blob_array(wire.parse_raw(path, 'BlobProto'), path)
    if mean.ndim not in (3, 4) or (mean.ndim == 4 and mean.shape[0] != 1):
        raise CaffeError(f'{path}: has shape {mean.shape}, expected one mean image (1, channels, height, width)')
    return mean.reshape(mean.shape[-3:])
