"""What a TransformationParameter asks for: resize, crop, mirror, subtract the mean, scale."""

import cv2
import numpy as np
import torch

from caffe.blobs.memory import to_device
from caffe.data.prefetch.batch import NewRow
from caffe.data.random_sizes import random_sizes
from caffe.data.resizing import Resizing, read_resizings
from caffe.data.video.corner_crops import CornerCrops
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, wire

# a row of Transformer.draws
Draw = np.ndarray


class Transformer:
    """Turns pictures into rows of a batch: (resize · crop · mirror − mean) · scale in float32, channels first.

    `place` and `place_planes` put one picture into its row of a batch, in the workers; `finish` makes the whole batch
    what the net gets. The workers do all arithmetic, so that `finish` has nothing left to do, unless `late`: then bytes
    stay bytes until they are on the device. That is for GPUs. A batch of bytes takes a quarter of the time on the bus
    (64 pictures of 3x112x96: 0.08 instead of 0.33 ms at 25 GB/s) and the workers are spared a tenth of their work; what
    the GPU does for it are three launches, some 0.03 ms for a batch of any size. A mean image, whose values differ by
    position, and float data are dealt with by the workers in either case.

    `scales` says that the layer itself resizes pictures by one of `scale_factors`; an error where it does not.
    """

    def __init__(
        self, param: caffe_pb2.TransformationParameter, phase: int, late: bool = False, scales: bool = False
    ) -> None:
        if param.scale_factors and not scales:
            raise CaffeError('transform_param has scale_factors, expected them in an ImageSegData layer')
        if param.HasField('mean_file') and param.mean_value:
            raise CaffeError('transform_param has mean_file and mean_value, expected one of them')
        if param.noise_param.ListFields() and param.noise_param.prob:
            raise CaffeError('noise_param of transform_param is not implemented (SSD has it)')
        self.crop = _crop(param)
        self.resizings = read_resizings(param.resize_param)
        self.random_sizes = random_sizes(param, param.crop_size)
        crops_corners = phase == caffe_pb2.TRAIN and (param.fix_crop or param.multi_scale)
        self.corner_crops = CornerCrops(param, self.crop) if crops_corners else None
        self.mirror: bool = param.mirror
        self.is_flow: bool = param.is_flow
        self.scale: float = param.scale
        self.mean_value = np.array(param.mean_value, np.float32)
        self._mean_column = self.mean_value.reshape(-1, 1, 1) if len(self.mean_value) else None
        self._mean: torch.Tensor | None = None
        self.mean_file: str = param.mean_file
        self.mean_image = read_mean(param.mean_file) if param.HasField('mean_file') else None
        self._late = late
        self._random_crop = self.crop is not None and phase == caffe_pb2.TRAIN and not self.corner_crops
        self.is_random = self._random_crop or self.mirror
        # whether pictures draw any number of random values, from a generator of their own
        sized = len(self.resizings) > 1 or any(one.is_random for one in self.resizings)
        self.seeds_pictures = sized or self.random_sizes is not None or self.corner_crops is not None

    def drawn_size(self, generator: np.random.Generator) -> int:
        """The index of the resize_param for some batches, drawn by their `prob` where there are several."""
        if len(self.resizings) < 2:
            return 0
        parts = np.array([one.prob for one in self.resizings])
        return int(generator.choice(len(parts), p=parts / parts.sum()))

    def draws(self, generator: np.random.Generator, count: int, size: int = 0) -> np.ndarray:
        """Random numbers for `count` pictures: rows of (mirror, row offset, column offset), each in [0, 1).

        A fourth one follows where pictures have a generator of their own, and `size` where there are several sizes.
        """
        if not self.is_random and not self.seeds_pictures:
            return np.zeros((count, 3))
        rows = generator.random((count, 3 + self.seeds_pictures))
        return np.insert(rows, 4, size, axis=1) if len(self.resizings) > 1 else rows

    def resizing(self, draw: Draw) -> Resizing | None:
        """How a picture is resized, if at all."""
        return self.resizings[int(draw[4]) if len(draw) > 4 else 0] if self.resizings else None

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The (channels, height, width) that a picture has in the batch; CaffeError when it cannot be transformed."""
        rows, columns = self.crop or (height, width)
        if rows > height or columns > width:
            crop = f'crop_size {rows}' if rows == columns else f'crop_h {rows} and crop_w {columns}'
            raise CaffeError(f'{crop} is larger than the picture of {height}x{width} (height x width)')
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
        return channels, rows, columns

    def place(self, image: np.ndarray, draw: Draw, new_row: NewRow) -> None:
        """Cut and mirror a picture (height, width[, channels]) of uint8 into `new_row(shape, dtype)`."""
        image = self._resized(image, draw)
        height, width, channels = image.shape
        if self.mean_image is not None or channels == 1 or self.corner_crops or self.is_flow:
            self._place_planes(image.transpose(2, 0, 1), draw, new_row)
            return
        shape = self.shape(channels, height, width)
        rows, columns = self.window(height, width, draw)
        window = image[rows, columns]
        planes = new_row(shape, np.dtype('u1')) if self._late else np.empty(shape, np.uint8)
        # cv2.split is several times faster than numpy at taking interleaved channels apart
        cv2.split(cv2.flip(window, 1) if self.flips(draw) else window, list(planes))
        if not self._late:
            self._to_float(planes, new_row(shape, np.dtype('f4')))

    def place_planes(self, planes: np.ndarray, draw: Draw, new_row: NewRow) -> None:
        """`place` for values of uint8 or float32 that have their channels first already."""
        if self.resizings or self.random_sizes:
            planes = self._resized(np.ascontiguousarray(planes.transpose(1, 2, 0)), draw).transpose(2, 0, 1)
        self._place_planes(planes, draw, new_row)

    def _resized(self, image: np.ndarray, draw: Draw) -> np.ndarray:
        """A picture (height, width[, channels]) as (height, width, channels), of the size that transform_param says."""
        resizing = self.resizing(draw)
        if resizing:
            image = resizing(image, picture_generator(draw))
        elif self.random_sizes:
            image = self.random_sizes(image, picture_generator(draw))
        return image if image.ndim == 3 else image[..., None]

    def _place_planes(self, planes: np.ndarray, draw: Draw, new_row: NewRow) -> None:
        if self.corner_crops:
            planes = self.corner_crops(planes, picture_generator(draw))
        if self.is_flow and self.flips(draw):
            # the planes of flow to the right, of which 255 - v is the opposite of v
            planes = planes.copy()
            planes[::2] = 255 - planes[::2]
        shape = self.shape(*planes.shape)
        rows, columns = self.window(planes.shape[1], planes.shape[2], draw)
        step = -1 if self.flips(draw) else 1
        window = planes[:, rows, columns][..., ::step]
        if self._late and self.mean_image is None and planes.dtype == np.uint8:
            np.copyto(new_row(shape, planes.dtype), window)
            return
        # the mean belongs to the position in the uncropped picture
        mean = None if self.mean_image is None else self.mean_image[:, rows, columns][..., ::step]
        self._to_float(window, new_row(shape, np.dtype('f4')), mean)

    def flips(self, draw: Draw) -> bool:
        """Whether a picture is mirrored from left to right."""
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

    def window(self, height: int, width: int, draw: Draw) -> tuple[slice, slice]:
        """The rows and columns to keep, as slices: a random window in TRAIN, the centre in TEST."""
        if self.crop is None:
            return slice(None), slice(None)
        spare = np.array([height - self.crop[0], width - self.crop[1]])
        top, left = (draw[1:3] * (spare + 1)).astype(int) if self._random_crop else spare // 2
        return slice(top, top + self.crop[0]), slice(left, left + self.crop[1])

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


def picture_generator(draw: Draw, stream: int = 0) -> np.random.Generator:
    """What a picture draws from where three numbers are not enough; seeded by the fourth, if there is one.

    Each `stream` has draws of its own.
    """
    seed = int(draw[3] * 2**53) if len(draw) > 3 else 0
    return np.random.default_rng((seed, stream) if stream else seed)


def _crop(param: caffe_pb2.TransformationParameter) -> tuple[int, int] | None:
    """(height, width) to cut out, None without; crop_h and crop_w are SSD's."""
    sides = param.crop_h, param.crop_w
    if any(sides) and (param.crop_size or not all(sides)):
        raise CaffeError(
            f'transform_param has crop_size {param.crop_size}, crop_h {param.crop_h} and crop_w {param.crop_w}, '
            'expected crop_size, or crop_h and crop_w'
        )
    if param.crop_size:
        return param.crop_size, param.crop_size
    return sides if all(sides) else None


def read_mean(path: str) -> np.ndarray:
    """The mean image of a .binaryproto file as float32 (channels, height, width).

    The channels of a mean clip (1, channels, time, height, width) are those of its frames, (channels · time).
    """
    mean = wire.blob_array(wire.parse_raw(path, 'BlobProto'), path)
    if mean.ndim not in (3, 4, 5) or (mean.ndim > 3 and mean.shape[0] != 1):
        raise CaffeError(f'{path}: has shape {mean.shape}, expected one mean image (1, channels, height, width)')
    return mean.reshape(-1, *mean.shape[-2:])
