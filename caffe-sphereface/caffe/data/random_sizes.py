"""Parts of pictures of random sizes and aspects, and whole pictures of random sizes (Intel's Caffe)."""

from math import sqrt

import numpy as np

from caffe.data.resizing import Resizing
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


class AspectCrops:
    """A random part of a picture, resized to crop_size × crop_size: random_aspect_ratio_param.

    The part has a · height · width pixels with a between min_area_ratio and max_area_ratio, and is r² times as high as
    wide, or as wide as high with probability ½, with r between aspect_ratio_change and 1 / aspect_ratio_change; all are
    uniform in steps of a thousandth. Its place is uniform. After `max_attempt` parts that are larger than the picture
    the whole one is resized, so that its shorter side is crop_size.
    """

    def __init__(self, param: caffe_pb2.RandomAspectRatioParameter, side: int) -> None:
        areas = param.min_area_ratio, param.max_area_ratio
        if not 0 < areas[0] <= areas[1]:
            raise CaffeError(
                f'random_aspect_ratio_param has min_area_ratio {areas[0]:g} and max_area_ratio {areas[1]:g}, '
                'expected 0 < min_area_ratio <= max_area_ratio'
            )
        if not 0 < param.aspect_ratio_change <= 1:
            raise CaffeError(
                f'random_aspect_ratio_param has aspect_ratio_change {param.aspect_ratio_change:g}, '
                'expected more than 0 and at most 1'
            )
        self._param, self._side = param, side

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The part of a picture (height, width[, channels]), resized."""
        height, width = image.shape[:2]
        param = self._param
        for _ in range(param.max_attempt):
            area = _uniform(param.min_area_ratio, param.max_area_ratio, random) * height * width
            change = _uniform(param.aspect_ratio_change, 1 / param.aspect_ratio_change, random)
            rows, columns = int(sqrt(area) * change), int(sqrt(area) / change)
            if random.random() < 0.5:
                rows, columns = columns, rows
            if 0 < rows <= height and 0 < columns <= width:
                top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
                part = image[top : top + rows, left : left + columns]
                return _resized(part, param.resize_param, self._side, self._side, random)
        return _with_shorter_side(image, self._side, param.resize_param, random)


class RandomSizes:
    """The whole picture, its shorter side uniform from min_size to max_size, 0 being its own: random_resize_param."""

    def __init__(self, param: caffe_pb2.RandomResizeParameter) -> None:
        if param.max_size and param.min_size > param.max_size:
            raise CaffeError(
                f'random_resize_param has min_size {param.min_size} and max_size {param.max_size}, '
                'expected min_size <= max_size'
            )
        self._param = param

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A picture (height, width[, channels]), resized."""
        least = self._param.min_size or min(image.shape[:2])
        most = self._param.max_size or max(image.shape[:2])
        if least > most:
            raise CaffeError(f'a picture of {image.shape[:2]} has no size from min_size {least} to max_size {most}')
        return _with_shorter_side(image, int(random.integers(least, most + 1)), self._param.resize_param, random)


def random_sizes(param: caffe_pb2.TransformationParameter, side: int) -> AspectCrops | RandomSizes | None:
    """What a TransformationParameter with the crop_size `side` (0 without) asks for; of both random_resize_param."""
    for name in ('random_resize_param', 'random_aspect_ratio_param'):
        if not param.HasField(name):
            continue
        if not side:
            raise CaffeError(f'transform_param has {name} without crop_size, expected both')
        if param.resize_param or param.fix_crop or param.multi_scale:
            raise CaffeError(f'transform_param has {name} and resize_param, fix_crop or multi_scale, expected one')
        if param.HasField('random_resize_param'):
            return RandomSizes(param.random_resize_param)
        return AspectCrops(param.random_aspect_ratio_param, side)
    return None


def _uniform(low: float, high: float, random: np.random.Generator) -> float:
    return low + int(random.integers(int((high - low) * 1000 + 1))) / 1000


def _with_shorter_side(
    image: np.ndarray, side: int, param: caffe_pb2.ResizeParameter, random: np.random.Generator
) -> np.ndarray:
    height, width = image.shape[:2]
    # in float32 as the fork has it, which decides where a size is cut off
    longer = int(np.float32(max(height, width)) / np.float32(min(height, width)) * np.float32(side))
    return _resized(image, param, *((side, longer) if height < width else (longer, side)), random)


def _resized(
    image: np.ndarray, param: caffe_pb2.ResizeParameter, height: int, width: int, random: np.random.Generator
) -> np.ndarray:
    sized = caffe_pb2.ResizeParameter()
    sized.CopyFrom(param)
    sized.height, sized.width = height, width
    return Resizing(sized)(image, random)
