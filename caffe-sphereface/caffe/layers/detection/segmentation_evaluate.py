"""SegmentationEvaluate: how far predicted maps of classes overlap the true ones, as MobileNet-YOLO measures it."""

import cv2
import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('SegmentationEvaluate')
class SegmentationEvaluate(Layer):
    """top (1, 1, 1, C) = intersection over union of where maps (N, C, h, w) and (N, C, H, W) are above `threshold`.

    Maps of another size than the true ones, the second bottom, are resized to it in steps of 1 / 255. The first picture
    of a batch alone is measured, as there.
    """

    bottoms = 2
    tops = 1
    kept = ()
    reads_back = ()
    no_capture = 'resizes maps on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if not self.param.segmentation_evaluate_param.HasField('num_classes'):
            self.error('num_classes is missing, expected the channels of the bottoms')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in bottom:
            self.check_picture(blob.shape)
        classes = bottom[0].shape[1]
        if bottom[1].shape[:2] != bottom[0].shape[:2] or classes != self.param.segmentation_evaluate_param.num_classes:
            self.error(
                f'bottoms have shapes {bottom[0].shape} and {bottom[1].shape}, expected the same pictures and '
                f'num_classes {self.param.segmentation_evaluate_param.num_classes} channels'
            )
        top[0].reshape(1, 1, 1, classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        limit = self.param.segmentation_evaluate_param.threshold
        maps, true = (blob.tensor[0].cpu().numpy() for blob in bottom)
        found, wanted = maps > limit, true > limit
        if maps.shape != true.shape:
            steps = (maps.clip(0, 1) * 255).astype(np.uint8)
            size = true.shape[2], true.shape[1]
            found = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in steps]) > int(limit * 255)
        common = (found & wanted).sum((1, 2))
        union = (found | wanted).sum((1, 2))
        shares = np.divide(common, union, out=np.zeros(len(union)), where=union > 0)
        top[0].tensor = torch.from_numpy(shares).to(bottom[0].tensor).reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for index in range(len(bottom)):
            self.refuse_gradient(propagate_down, index, 'what is counted')
