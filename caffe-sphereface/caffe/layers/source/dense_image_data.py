"""DenseImageData: pictures, and pictures of the class of each of their pixels."""

import cv2

from caffe.blobs.blob import Blob
from caffe.data.augmentation import Transformer
from caffe.data.picture_list import AnnotatedList
from caffe.data.pictures import read_picture
from caffe.layers.source.pixel_labels import PixelLabelData, Read
from caffe.layers.support.registry import register
from caffe.proto.caffe_pb2 import DenseImageDataParameter


@register('DenseImageData')
class DenseImageData(PixelLabelData):
    """Batches of pictures (N, C, H, W) and of the labels of their pixels (N, 1, H, W), of SegNet's fork.

    The list has lines `picture labels`, both files; labels are the grey values of the second, which is resized to the
    nearest pixel. What transform_param crops and mirrors, it crops and mirrors in both (SegNet's fork refuses to).
    """

    def list_param(self) -> DenseImageDataParameter:
        return self.param.dense_image_data_param

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.list_param()
        if param.mirror or param.crop_height or param.crop_width or param.mean_file:
            self.error('has mirror, crop or mean_file in dense_image_data_param, expected them in transform_param')
        super().setup(bottom, top)

    def open(self, transformer: Transformer) -> tuple[AnnotatedList, Read]:
        param = self.list_param()
        size = param.new_height, param.new_width
        return self.open_pairs(lambda path: read_picture(path, False, *size, cv2.INTER_NEAREST))
