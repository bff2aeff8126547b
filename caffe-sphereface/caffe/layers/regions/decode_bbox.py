"""DecodeBBox: regions as a stage of a cascade corrects them, for its next stage (Cai, Vasconcelos 2018)."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.regions.codes import decode, scaling_of
from caffe.layers.support.registry import BlobCount, Layer, register
from caffe.proto.caffe_pb2 import TRAIN


@register('DecodeBBox')
class DecodeBBox(Layer):
    """Top (R', 5, 1, 1): image and corners of regions, corrected by their codes.

    Bottoms: codes (R, 8), of which the last 4 are those of an object, and regions (R, 5). In TRAIN those whose corners
    would change places are left out, and with a third bottom (R, …), what regions match as ProposalTarget gives it,
    those whose overlap, the last value, is `gt_iou_thr` or more: they are true boxes themselves. Where none is left
    there is the region 0, 1, 1, 10, 10 (MS-CNN's code ends the process). Bottoms get no gradient.
    """

    bottoms: BlobCount = (2, 3)
    tops = 1
    open_axes = (0,)
    no_diff_bottoms = (0, 1, 2)
    kept = ()
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(bottom) == 3 and self.phase != TRAIN:
            self.error('has 3 bottom blobs, expected 2 in TEST')
        self.scaling = scaling_of(self, self.param.bbox_reg_param)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        count = bottom[0].shape[0] if bottom[0].shape else 0
        for blob, values in zip(bottom, (8, 5)):
            if blob.shape[:2] != (count, values) or blob.count != count * values:
                self.error(f"bottom '{blob.name}' has shape {blob.shape}, expected {(count, values)}")
        if len(bottom) == 3 and (bottom[2].shape[:1] != (count,) or not bottom[2].count):
            self.error(f"bottom '{bottom[2].name}' has shape {bottom[2].shape}, expected values for {count} regions")
        top[0].reshape(count, 5, 1, 1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        codes, regions, *matches = (
            blob.tensor.float().cpu().numpy().reshape(blob.shape[0], blob.count // max(1, blob.shape[0]))
            for blob in bottom
        )
        boxes = decode(codes[:, 4:], regions[:, 1:], self.scaling)
        rows = np.column_stack([regions[:, 0], boxes])
        if self.phase == TRAIN:
            kept = (boxes[:, :2] <= boxes[:, 2:]).all(1)
            for match in matches:
                kept &= match[:, -1] < np.float32(self.param.decode_bbox_param.gt_iou_thr)
            rows = rows[kept]
        if not len(rows):
            rows = np.array([[0, 1, 1, 10, 10]], np.float32)
        top[0].reshape(len(rows), 5, 1, 1)
        values = torch.tensor(rows.reshape(top[0].shape), dtype=torch.get_default_dtype())
        top[0].tensor = values.to(self.device)
