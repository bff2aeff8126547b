"""DenseImageData: pictures, and pictures of the class of each of their pixels."""

from collections.abc import Callable

import cv2
import numpy as np

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer
from caffe.data.feed import Feed, make_transformer, order_of_list, own_generator
from caffe.data.picture_list import AnnotatedList, read_annotated_list
from caffe.data.pictures import read_picture
from caffe.data.prefetch.batch import Label, NewRow
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer, register
from caffe.proto.caffe_pb2 import DenseImageDataParameter


@register('DenseImageData')
class DenseImageData(Layer):
    """Batches of pictures (N, C, H, W) and of the labels of their pixels (N, 1, H, W), of SegNet's fork.

    The list has lines `picture labels`, both files; labels are the grey values of the second, which is resized to the
    nearest pixel. What transform_param crops and mirrors, it crops and mirrors in both (SegNet's fork refuses to).
    """

    bottoms = 0
    values_from = 'files'
    tops = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.dense_image_data_param
        if bool(param.new_height) != bool(param.new_width):
            self.error(f'new_height {param.new_height} and new_width {param.new_width}: expected both or none')
        if param.mirror or param.crop_height or param.crop_width or param.mean_file:
            self.error('has mirror, crop or mean_file in dense_image_data_param, expected them in transform_param')
        try:
            listing = read_annotated_list(param.source)
        except CaffeError as error:
            self.error(str(error))
        log.info('dense_image_data_layer.cpp:54', f'A total of {len(listing.paths)} examples.')
        transformer, generator = make_transformer(self), own_generator()
        if transformer.resizings:
            self.error('has resize_param, expected new_height and new_width, which resize labels, too')
        if transformer.corner_crops:
            self.error('has fix_crop or multi_scale, which labels do not follow; expected crop_size alone')
        order = order_of_list(self, param, len(listing.paths), generator)
        load = _loader(listing, param, transformer)
        self._feed = Feed(self, transformer, order.step, load, param.batch_size, generator, divisible=False)
        self._feed.shape_tops(self, top, order.peek())

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._feed.forward(self, top)


def _loader(
    listing: AnnotatedList, param: DenseImageDataParameter, transformer: Transformer
) -> Callable[[int, Draw, NewRow], Label]:
    root, color, size = param.root_folder, param.is_color, (param.new_height, param.new_width)

    def load(index: int, draw: Draw, new_row: NewRow) -> Label:
        try:
            image = read_picture(root + listing.paths[index], color, *size)
            path = root + listing.annotations[index]
            labels = read_picture(path, False, *size, cv2.INTER_NEAREST)
            if labels.shape != image.shape[:2]:
                raise CaffeError(f'{path}: has size {labels.shape}, its picture {image.shape[:2]}; expected the same')
            transformer.place(image, draw, new_row)
        except CaffeError as error:
            raise CaffeError(f'{listing.where(index)}: {error}') from None
        rows, columns = transformer.window(labels.shape[0], labels.shape[1], draw)
        window = labels[rows, columns]
        return (window[:, ::-1] if transformer.flips(draw) else window)[None].astype(np.float32)

    return load
