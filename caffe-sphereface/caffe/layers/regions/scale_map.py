"""What layers on the map of a detector on several scales have in common (MS-CNN): fields, codes, cells that count."""

from typing import TypeVar

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.regions.codes import Fields, scaling_of
from caffe.layers.support.registry import Layer
from caffe.proto.caffe_pb2 import DetectionAccuracyParameter, DetectionLossParameter

Labels = TypeVar('Labels', np.ndarray, torch.Tensor)


class ScaleMap(Layer):
    """Bottoms: a map (N, K + 4, H, W) of scores and a box's code, and labels (N, 6, H, W) as ImageGtData gives them."""

    bottoms = 2

    @property
    def settings(self) -> DetectionLossParameter | DetectionAccuracyParameter:
        """The layer's own parameter."""
        raise NotImplementedError

    def own_problem(self) -> str | None:
        """What is wrong with the settings that are the layer's alone, None where nothing is."""
        raise NotImplementedError

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.settings
        self.fields = Fields(param.field_w, param.field_h, param.downsample_rate, param.field_xyr, param.field_whr)
        problem = self.fields.problem()
        if param.cls_num < 2 or param.objectness and param.cls_num != 2:
            problem = f'cls_num is {param.cls_num}, expected 2 with objectness, at least 2 without'
        elif param.coord_num != 4:
            problem = f'coord_num is {param.coord_num}, expected 4'
        else:
            problem = self.own_problem() or problem
        if problem:
            self.error(problem)
        self.scaling = scaling_of(self, self.param.bbox_reg_param)
        stated = self.param.loss_param.HasField('ignore_label')
        self.ignored = self.param.loss_param.ignore_label if stated else None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores, labels = bottom[0].shape, bottom[1].shape
        channels = self.settings.cls_num + 4
        if len(scores) != 4 or scores[1] != channels:
            self.error(f"bottom '{bottom[0].name}' has shape {scores}, expected 4 axes and {channels} channels")
        if labels != (scores[0], 6, *scores[2:]):
            self.error(f"bottom '{bottom[1].name}' has shape {labels}, expected {(scores[0], 6, *scores[2:])}")

    def objects(self, labels: Labels) -> Labels:
        """Which cells (N, H, W) a box is learned from: those of objects that are not ignored."""
        found = labels != 0
        if self.ignored is not None:
            found &= labels != self.ignored
        return found
