"""ImageSegData of DeepLab's and PSPNet's forks, and ImageLabelmapData of HED's: pictures with labels of pixels."""

import cv2
import numpy as np

from caffe.data.augmentation import Transformer
from caffe.data.picture_list import AnnotatedList, PathList, PictureList, read_annotated_list, read_list, read_path_list
from caffe.data.pictures import read_picture
from caffe.errors import CaffeError
from caffe.layers.source.pixel_labels import Pair, PixelLabelData, Read
from caffe.layers.support.registry import register
from caffe.proto.caffe_pb2 import ImageDataParameter


@register('ImageSegData')
class ImageSegData(PixelLabelData):
    """Batches of pictures (N, C, H, W) and of the labels of their pixels (N, 1, H, W).

    By `label_type` the list has lines `picture labels`, both files (PIXEL: grey values, resized to the nearest pixel),
    `picture label` for all pixels (IMAGE), or `picture` (NONE: all are `ignore_label`). Of `scale_factors` each picture
    gets one at random, by which it is resized with its labels. What is then smaller than the crop is filled up to the
    right and below with the mean and with `ignore_label`.
    """

    scales_pictures = True

    def list_param(self) -> ImageDataParameter:
        return self.param.image_data_param

    def open(self, transformer: Transformer) -> tuple[PathList, Read]:
        param = self.list_param()
        if transformer.mean_image is not None:
            raise CaffeError('transform_param has mean_file, expected mean_value')
        root, color, size = param.root_folder, param.is_color, (param.new_height, param.new_width)
        listing = _list_of(param)
        scaled = _Scaled(list(self.param.transform_param.scale_factors), transformer, param.ignore_label)
        if scaled.factors:
            transformer.seeds_pictures = True

        def read(index: int, random: np.random.Generator) -> Pair:
            picture = read_picture(root + listing.paths[index], color, *size)
            if isinstance(listing, AnnotatedList):
                path = root + listing.annotations[index]
                labels = read_picture(path, False, *size, cv2.INTER_NEAREST)
                if labels.shape != picture.shape[:2]:
                    return Pair(picture, labels, path)
            else:
                path = listing.paths[index]
                value = listing.labels[index] if isinstance(listing, PictureList) else param.ignore_label
                labels = np.full(picture.shape[:2], value, np.float32)
            return Pair(*scaled(picture, labels, random), path)

        return listing, read


def _list_of(param: ImageDataParameter) -> PathList:
    if param.label_type == param.PIXEL:
        return read_annotated_list(param.source)
    return read_list(param.source) if param.label_type == param.IMAGE else read_path_list(param.source)


class _Scaled:
    """Resizes a picture and its labels by one of `factors`, and fills both up to the size of the crop."""

    def __init__(self, factors: list[float], transformer: Transformer, ignore_label: int) -> None:
        if not all(factor > 0 for factor in factors):
            raise CaffeError(f'scale_factors are {factors}, expected values above 0')
        self.factors, self._crop, self._ignored = factors, transformer.crop, ignore_label
        self._mean = transformer.mean_value

    def __call__(
        self, picture: np.ndarray, labels: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(picture, labels), the picture with floats where it is filled up: a mean need not be a whole number."""
        factor = self.factors[random.integers(len(self.factors))] if self.factors else 1
        if factor != 1:
            size = max(1, int(labels.shape[1] * factor)), max(1, int(labels.shape[0] * factor))
            picture = cv2.resize(picture, size)
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        below, right = (max(0, side - length) for side, length in zip(self._crop or (0, 0), labels.shape))
        if not below and not right:
            return picture, labels
        planes = picture.reshape(*picture.shape[:2], -1).astype(np.float32)
        filled = np.empty((planes.shape[0] + below, planes.shape[1] + right, planes.shape[2]), np.float32)
        filled[:] = self._mean if len(self._mean) in (1, planes.shape[2]) else 0
        filled[: planes.shape[0], : planes.shape[1]] = planes
        return filled, np.pad(labels.astype(np.float32), ((0, below), (0, right)), constant_values=self._ignored)


@register('ImageLabelmapData')
class ImageLabelmapData(PixelLabelData):
    """Batches of pictures (N, C, H, W) and of their edges (N, 1, H, W): 1 where the second file is at least half white.

    The list has lines `picture edges`. Both are resized bilinearly where `new_height` and `new_width` are given.
    """

    def list_param(self) -> ImageDataParameter:
        return self.param.image_data_param

    def open(self, transformer: Transformer) -> tuple[AnnotatedList, Read]:
        param = self.list_param()
        return self.open_pairs(lambda path: read_picture(path, False, param.new_height, param.new_width) > 127)
