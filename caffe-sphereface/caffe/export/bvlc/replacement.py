"""A layer of a fork and what stands in its place in BVLC's Caffe 1.0; one rule for each class of layers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from caffe.layers.norm.ssd_normalize import SSDNormalize
from caffe.layers.shape.permute import Permute
from caffe.layers.support.registry import Layer, layer_class
from caffe.proto import caffe_pb2

BVLC_TYPES = frozenset(
    """
    AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Concat ContrastiveLoss Convolution Crop Data Deconvolution
    Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss Im2col ImageData
    InfogainLoss InnerProduct Input LRN LSTM Log MVN MemoryData MultinomialLogisticLoss PReLU Parameter Pooling Power
    Python RNN ReLU Reduction Reshape SPP Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss
    Split TanH Threshold Tile WindowData
    """.split()
)
# layers of SSD that OpenCV's importer has under the same names
OPENCV_TYPES = frozenset({'Permute', 'PriorBox', 'DetectionOutput', 'Normalize'})

PRODUCT = {'operation': 'PROD'}  # of Eltwise
_PRIOR_VARIANCE = 0.1  # of PriorBox without one


class Replacement:
    """The layers in place of one layer; each gets its name with a suffix but for the main one, which keeps it."""

    def __init__(
        self,
        layer: Layer,
        bottoms: Sequence[str],
        shapes: list[tuple[int, ...]],
        tops: list[tuple[int, ...]],
        has_weights: bool,
    ) -> None:
        self.layer, self.bottoms, self.shapes, self.top_shapes = layer, list(bottoms), shapes, tops
        self.has_weights = has_weights
        self.new_layers: list[caffe_pb2.LayerParameter] = []
        self.values: dict[str, list[np.ndarray]] = {}

    @property
    def tops(self) -> list[str]:
        """The tops of the layer that is replaced."""
        return list(self.layer.param.top)

    def blobs(self) -> list[np.ndarray]:
        """The layer's parameters."""
        return [blob.tensor.detach().cpu().numpy() for blob in self.layer.blobs]

    def keep(self, **fields: Any) -> caffe_pb2.LayerParameter:
        """The layer itself with other fields and its own parameters; the message, to change further."""
        new = caffe_pb2.LayerParameter()
        new.CopyFrom(self.layer.param)
        new.MergeFrom(caffe_pb2.LayerParameter(**fields))
        new.bottom[:] = self.bottoms
        self.new_layers.append(new)
        if self.layer.blobs:
            self.values[new.name] = self.blobs()
        return new

    def copy(self) -> None:
        """A layer that gives its first bottom as it is."""
        self.add('Reshape', self.bottoms[:1], reshape_param={'shape': {'dim': [0]}, 'num_axes': 1})

    def add(
        self,
        kind: str,
        bottoms: Sequence[str],
        suffix: str = '',
        values: Sequence[np.ndarray] = (),
        tops: Sequence[str] | None = None,
        **fields: Any,
    ) -> str:
        """Another layer; the name of its first top, which is the replaced layer's own where there is no suffix."""
        name = f'{self.layer.name}/{suffix}' if suffix else self.layer.name
        if tops is None:
            tops = [name] if suffix else self.tops[:1]
        self.new_layers.append(caffe_pb2.LayerParameter(name=name, type=kind, bottom=bottoms, top=tops, **fields))
        if values:
            self.values[name] = list(values)
        return tops[0] if tops else ''


Rule = Callable[[Replacement, Any], None]  # of (replacement, the layer)
_RULES: dict[type[Layer] | str, Rule] = {}  # by class, or by type where one class has several


def rule(key: type[Layer] | str) -> Callable[[Rule], Rule]:
    """Makes a function the rule for a class of layers, or for a type where all of its classes have one rule."""

    def add(function: Rule) -> Rule:
        _RULES[key] = function
        return function

    return add


def replace(made: Replacement, target: str) -> None:
    """Fill a Replacement with layers of the target; CaffeError where its layer cannot be expressed in them."""
    layer = made.layer
    found = _RULES.get(type(layer)) or _RULES.get(layer.type)
    if target == 'opencv' and _is_of_opencv(layer):
        _state_defaults(made.keep(), layer)
    elif found:
        found(made, layer)
    elif layer.type in BVLC_TYPES:
        new = made.keep()
        new.ClearField('true_gradient')
        if new.type == 'BatchNorm':
            new.batch_norm_param.ClearField('stats_batch_size')  # which is for TRAIN
    elif isinstance(layer, layer_class('Convolution')):
        made.keep(type='Convolution')
    else:
        layer.error(f'has no exact form in the layers of {"BVLC Caffe 1.0" if target == "bvlc" else "OpenCV"}')


def _is_of_opencv(layer: Layer) -> bool:
    """Whether OpenCV has an SSD layer: of the Normalize layers that with a scale for each channel."""
    if layer.type == 'Normalize':
        return isinstance(layer, SSDNormalize) and not layer.param.norm_param.channel_shared
    return layer.type in OPENCV_TYPES


def _state_defaults(new: caffe_pb2.LayerParameter, layer: Layer) -> None:
    """OpenCV has no defaults for these fields."""
    if isinstance(layer, Permute):
        new.permute_param.order[:] = layer.order
    if new.type == 'DetectionOutput':
        param = new.detection_output_param
        for field in ('share_location', 'background_label_id', 'keep_top_k', 'code_type'):
            setattr(param, field, getattr(param, field))
    if new.type == 'PriorBox':
        param = new.prior_box_param
        param.flip, param.clip = param.flip, param.clip
        param.variance[:] = param.variance or [_PRIOR_VARIANCE]


def sums(made: Replacement, x: str, suffix: str, inputs: int, channels: int) -> str:
    """At each position Σ over the `inputs` channels of x, in each of `channels` channels."""
    ones = np.ones((channels, inputs, 1, 1), np.float32)
    filler = {'type': 'constant', 'value': 1}
    param = {'num_output': channels, 'kernel_size': [1], 'bias_term': False, 'weight_filler': filler}
    return made.add('Convolution', [x], suffix, [ones], convolution_param=param)
