"""What layers have in common whose lists pair pictures with labels of their pixels."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer, picture_generator
from caffe.data.feed import check_new_size, make_transformer
from caffe.data.picture_list import AnnotatedList, PathList, read_annotated_list
from caffe.data.pictures import read_picture
from caffe.data.prefetch.batch import Label, NewRow
from caffe.errors import CaffeError
from caffe.layers.support.listed_data import ListedData
from caffe.proto.caffe_pb2 import DenseImageDataParameter, ImageDataParameter


class Pair(NamedTuple):
    """A picture (height, width[, channels]) of bytes, or of floats with its channels, and labels (height, width)."""

    picture: np.ndarray
    labels: np.ndarray
    path: str  # of the labels, for errors


# from the index of an entry, and what its picture draws from, to the Pair
Read = Callable[[int, np.random.Generator], Pair]


class PixelLabelData(ListedData):
    """Batches of pictures (N, C, H, W) and of the labels of their pixels (N, 1, H, W).

    What transform_param crops and mirrors, it crops and mirrors in both. Subclasses give the list's parameter, and for
    it the list and the function that reads an entry.
    """

    scales_pictures = False  # whether it applies the scale_factors of transform_param

    def list_param(self) -> DenseImageDataParameter | ImageDataParameter:
        """The message that names the list."""
        raise NotImplementedError

    def open(self, transformer: Transformer) -> tuple[PathList, Read]:
        """(the list, the function that reads its entries)."""
        raise NotImplementedError

    def open_pairs(self, read_labels: Callable[[str], np.ndarray]) -> tuple[AnnotatedList, Read]:
        """`open` for a list with lines `picture labels`, both files; `read_labels` reads the second."""
        param = self.list_param()
        listing = read_annotated_list(param.source)
        root, color, size = param.root_folder, param.is_color, (param.new_height, param.new_width)

        def read(index: int, random: np.random.Generator) -> Pair:
            path = root + listing.annotations[index]
            return Pair(read_picture(root + listing.paths[index], color, *size), read_labels(path), path)

        return listing, read

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.list_param()
        check_new_size(self, param)
        transformer = make_transformer(self, self.scales_pictures)
        if transformer.random_sizes:
            self.error('has random_resize_param or random_aspect_ratio_param, expected crop_size alone')
        if transformer.resizings:
            self.error('has resize_param, expected new_height and new_width, which resize labels, too')
        if transformer.corner_crops:
            self.error('has fix_crop or multi_scale, which labels do not follow; expected crop_size alone')
        try:
            listing, read = self.open(transformer)
        except CaffeError as error:
            self.error(str(error))
        log.info('base_data_layer.cpp:54', f'A total of {len(listing.paths)} examples.')
        load = _loader(listing, read, transformer)
        self.read_ahead(top, param, len(listing.paths), transformer, load, divisible=False)


def _loader(listing: PathList, read: Read, transformer: Transformer) -> Callable[[int, Draw, NewRow], Label]:
    def load(index: int, draw: Draw, new_row: NewRow) -> Label:
        try:
            picture, labels, path = read(index, picture_generator(draw, 1))
            if labels.shape != picture.shape[:2]:
                raise CaffeError(f'{path}: has size {labels.shape}, its picture {picture.shape[:2]}; expected the same')
            if picture.dtype == np.uint8:
                transformer.place(picture, draw, new_row)
            else:
                transformer.place_planes(picture.transpose(2, 0, 1), draw, new_row)
        except CaffeError as error:
            raise CaffeError(f'{listing.where(index)}: {error}') from None
        rows, columns = transformer.window(labels.shape[0], labels.shape[1], draw)
        window = labels[rows, columns]
        return (window[:, ::-1] if transformer.flips(draw) else window)[None].astype(np.float32)

    return load
