"""BboxAccuracy: how far the boxes that regions are corrected to overlap the true ones (MS-CNN)."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.data.boxes import paired_overlaps
from caffe.layers.regions.codes import decode, extents, scaling_of
from caffe.layers.support.registry import Layer, register

_TRUE = np.float32(0.975)


@register('BboxAccuracy')
class BboxAccuracy(Layer):
    """Tops (1, 1, 1, 1): the mean overlap of coded boxes with true ones, and that of the regions themselves.

    Bottoms: codes (R, 4 · K), those of a region's class count; regions (R, 5), image and corners; and what they match
    (R, 6): class, corners, overlap, as ProposalTarget gives it. Regions of class 0 and those that overlap by more than
    0.975, the true boxes themselves, do not count. −1 stands where none does. With `cls_aware: false` in
    `bbox_reg_param` there are two classes of codes, and the second is that of all objects.
    """

    bottoms = 3
    tops = (1, 2)
    no_diff_bottoms = (0, 1, 2)
    kept = ()
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        first = self.param.HasField('bbox_accuracy_param')
        self.settings = self.param.bbox_accuracy_param if first else self.param.bbox_reg_param
        self.scaling = scaling_of(self, self.settings)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        codes, regions, matches = bottom
        count = codes.shape[0] if codes.shape else 0
        for blob, values in ((regions, 5), (matches, 6)):
            if blob.shape[:2] != (count, values) or blob.count != count * values:
                self.error(f"bottom '{blob.name}' has shape {blob.shape}, expected {(count, values)}")
        if len(codes.shape) < 2 or codes.count != count * codes.shape[1] or codes.shape[1] % 4:
            self.error(f"bottom '{codes.name}' has shape {codes.shape}, expected 4 values for each class")
        for blob in top:
            blob.reshape(1, 1, 1, 1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        codes, regions, matches = (blob.tensor.float().cpu().numpy().reshape(blob.shape[:2]) for blob in bottom)
        counted = (matches[:, 0] > 0) & (matches[:, 5] <= _TRUE)
        classes = matches[counted, 0].astype(int)
        if not self.settings.cls_aware:
            classes = np.minimum(classes, 1)
        if len(classes) and classes.max() * 4 >= codes.shape[1]:
            self.error(f'has regions of class {classes.max()}, expected classes below {codes.shape[1] // 4}')
        own = codes[counted].reshape(len(classes), codes.shape[1] // 4, 4)[np.arange(len(classes)), classes]
        old, true = regions[counted, 1:], extents(matches[counted, 1:5])
        for blob, boxes in zip(top, (decode(own, old, self.scaling), old)):
            overlaps = paired_overlaps(extents(boxes), true)
            blob.tensor = torch.full(blob.shape, overlaps.mean() if len(overlaps) else -1.0, device=self.device)
