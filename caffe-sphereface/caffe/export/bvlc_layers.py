"""What each layer of a fork is in layers of BVLC's Caffe 1.0; one rule for each class."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from caffe.layers.activation.dropout import Dropout
from caffe.layers.activation.relu6 import ReLU6
from caffe.layers.norm.bn import BN, SegNetBN
from caffe.layers.norm.norm_l2 import NormL2
from caffe.layers.product.axpy import Axpy
from caffe.layers.product.inner_product import InnerProduct
from caffe.layers.shape.permute import Permute
from caffe.layers.shape.shuffle_channel import ShuffleChannel
from caffe.layers.support.registry import Layer, layer_class
from caffe.layers.vision.convolution_depthwise import ConvolutionDepthwise
from caffe.layers.vision.pooling import Pooling
from caffe.layers.vision.pooling_kernels import Geometry
from caffe.layers.vision.upsample import Upsample
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

_NORM_L2_EPS = 1e-7
_PRIOR_VARIANCE = 0.1  # of PriorBox without one
_ROW_EPS = 1e-6  # of InnerProduct's normalize


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


def _rule(key: type[Layer] | str) -> Callable[[Rule], Rule]:
    def add(function: Rule) -> Rule:
        _RULES[key] = function
        return function

    return add


def replace(made: Replacement, target: str) -> None:
    """Fill a Replacement with layers of the target; CaffeError where its layer cannot be expressed in them."""
    layer = made.layer
    rule = _RULES.get(type(layer)) or _RULES.get(layer.type)
    if target == 'opencv' and layer.type in OPENCV_TYPES and not layer.param.HasField('normalize_param'):
        _state_defaults(made.keep())
    elif rule:
        rule(made, layer)
    elif layer.type in BVLC_TYPES:
        made.keep().ClearField('true_gradient')
    elif isinstance(layer, layer_class('Convolution')):
        made.keep(type='Convolution')
    else:
        layer.error(f'has no exact form in the layers of {"BVLC Caffe 1.0" if target == "bvlc" else "OpenCV"}')


def _state_defaults(new: caffe_pb2.LayerParameter) -> None:
    """OpenCV has no defaults for these fields."""
    if new.type == 'DetectionOutput':
        param = new.detection_output_param
        for field in ('share_location', 'background_label_id', 'keep_top_k', 'code_type'):
            setattr(param, field, getattr(param, field))
    if new.type == 'PriorBox':
        param = new.prior_box_param
        param.flip, param.clip = param.flip, param.clip
        param.variance[:] = param.variance or [_PRIOR_VARIANCE]


@_rule(ConvolutionDepthwise)
def _convolution_depthwise(made: Replacement, layer: ConvolutionDepthwise) -> None:
    new = made.keep(type='Convolution')
    param = new.convolution_param
    param.num_output = param.group = made.shapes[0][1]
    for name in ('kernel', 'stride', 'pad'):  # the layer reads them as a pair only
        pair = (f'{name}_h', f'{name}_w')
        if not all(map(param.HasField, pair)):
            for field in pair:
                param.ClearField(field)


@_rule(Pooling)
def _pooling(made: Replacement, layer: Pooling) -> None:
    """Rounding up is BVLC's; rounded down, the row and the column beyond are cut off where there are any."""
    new = made.keep()
    param = new.pooling_param
    down = param.round_mode == param.FLOOR or not param.ceil_mode
    for field in ('round_mode', 'ceil_mode'):
        param.ClearField(field)
    if not down or layer.kernel is None:
        return
    up = Geometry(layer.kernel, layer.stride, layer.pad, made.shapes[0][2:])
    beyond = [axis for axis, size in zip((2, 3), up.output) if size > made.top_shapes[0][axis]]
    if beyond and len(made.tops) > 1:
        layer.error('rounds its size down and has a mask, expected a size that rounding does not change')
    for axis in beyond:
        whole, rest = f'{layer.name}/whole{axis}', f'{layer.name}/beyond{axis}'
        made.new_layers[-1].top[0] = whole
        cut = {'axis': axis, 'slice_point': [made.top_shapes[0][axis]]}
        made.add('Slice', [whole], f'cut{axis}', tops=[made.tops[0], rest], slice_param=cut)
    if beyond:
        made.add('Silence', [f'{layer.name}/beyond{axis}' for axis in beyond], 'silence', tops=[])


@_rule(ReLU6)
def _relu6(made: Replacement, layer: ReLU6) -> None:
    """min(y, 6) = y − max(y − 6, 0), which rounds nowhere."""
    slope = layer.param.relu6_param.negative_slope
    y = made.add('ReLU', made.bottoms, 'relu', relu_param={'negative_slope': slope} if slope else {})
    over = made.add('Power', [y], 'over', power_param={'shift': -6})
    over = made.add('ReLU', [over], 'excess')
    made.add('Eltwise', [y, over], eltwise_param={'operation': 'SUM', 'coeff': [1, -1]})


@_rule('Clip')
def _clip(made: Replacement, layer: Layer) -> None:
    param = layer.param.clip_param
    if param.min != 0:
        layer.error(f'has min {param.min:g}, expected 0, where the same follows from BVLC Caffe 1.0 without rounding')
    y = made.add('ReLU', made.bottoms, 'relu')
    over = made.add('Power', [y], 'over', power_param={'shift': -param.max})
    over = made.add('ReLU', [over], 'excess')
    made.add('Eltwise', [y, over], eltwise_param={'operation': 'SUM', 'coeff': [1, -1]})


@_rule('Swish')
def _swish(made: Replacement, layer: Layer) -> None:
    x = made.bottoms[0]
    gate = made.add('Power', [x], 'beta', power_param={'scale': layer.param.swish_param.beta})
    gate = made.add('Sigmoid', [gate], 'gate')
    made.add('Eltwise', [x, gate], eltwise_param={'operation': 'PROD'})


@_rule(Dropout)
def _dropout(made: Replacement, layer: Dropout) -> None:
    if layer.test_scale == 1:
        made.keep()
    else:
        made.add('Power', made.bottoms, power_param={'scale': layer.test_scale})


@_rule(BN)
def _bn(made: Replacement, layer: BN) -> None:
    slope, bias, mean, variance = (values.reshape(-1) for values in made.blobs())
    statistics = {'use_global_stats': True, 'eps': layer.eps}
    values = [mean, variance, np.ones(1, np.float32)]
    x = made.add('BatchNorm', made.bottoms, 'statistics', values, batch_norm_param=statistics)
    made.add('Scale', [x], '', [slope, bias], scale_param={'bias_term': True})


@_rule(SegNetBN)
def _segnet_bn(made: Replacement, layer: SegNetBN) -> None:
    if not layer.is_fixed:
        layer.error('uses the statistics of its batch, expected bn_mode: INFERENCE')
    values = [values.reshape(-1) for values in made.blobs()]
    made.add('Scale', made.bottoms, '', values, scale_param={'bias_term': True})


@_rule(NormL2)
def _norm_l2(made: Replacement, layer: NormL2) -> None:
    x = made.bottoms[0]
    factor = made.add('Reduction', [x], 'squares', reduction_param={'operation': 'SUMSQ', 'axis': 1})
    factor = made.add('Power', [factor], 'factor', power_param={'shift': _NORM_L2_EPS, 'power': -0.5})
    flat = len(made.shapes[0]) < 4
    y = made.add('Scale', [x, factor], 'scaled' if flat else '', scale_param={'axis': 0})
    if flat:
        made.add('Reshape', [y], reshape_param={'shape': {'dim': [0, *made.top_shapes[0][1:]]}})


@_rule(Axpy)
def _axpy(made: Replacement, layer: Axpy) -> None:
    factors, x, y = made.bottoms
    if len(made.shapes[0]) > 2:
        factors = made.add('Reshape', [factors], 'factors', reshape_param={'shape': {'dim': [0, -1]}})
    scaled = made.add('Scale', [x, factors], 'scaled', scale_param={'axis': 0})
    made.add('Eltwise', [scaled, y], eltwise_param={'operation': 'SUM'})


@_rule(ShuffleChannel)
def _shuffle_channel(made: Replacement, layer: ShuffleChannel) -> None:
    """The groups, cut apart, are joined along an axis behind that of their channels."""
    groups, (_, channels, *space) = layer.param.shuffle_channel_param.group, made.shapes[0]
    names = [f'{layer.name}/group{i}' for i in range(groups)]
    if groups == 1:
        made.add('Reshape', made.bottoms, reshape_param={'shape': {'dim': [0]}, 'num_axes': 1})
        return
    made.add('Slice', made.bottoms, 'groups', tops=names, slice_param={'axis': 1})
    apart = {'shape': {'dim': [0, channels // groups, 1, -1]}}
    columns = [made.add('Reshape', [name], f'column{i}', reshape_param=apart) for i, name in enumerate(names)]
    joined = made.add('Concat', columns, 'joined', concat_param={'axis': 2})
    made.add('Reshape', [joined], reshape_param={'shape': {'dim': [0, channels, *space]}})


@_rule(Permute)
def _permute(made: Replacement, layer: Permute) -> None:
    """Axes of one value may move anywhere."""
    shape = made.shapes[0]
    order = [axis for axis in layer.order if shape[axis] != 1]
    if order != sorted(order) or made.top_shapes[0][0] != shape[0]:
        layer.error('moves axes, expected an order that only moves axes of one value')
    made.add('Reshape', made.bottoms, reshape_param={'shape': {'dim': [0, *made.top_shapes[0][1:]]}})


@_rule(Upsample)
def _upsample(made: Replacement, layer: Upsample) -> None:
    channels, scale = made.shapes[0][1], layer.scale
    param = {'num_output': channels, 'group': channels, 'kernel_size': [scale], 'stride': [scale], 'bias_term': False}
    ones = np.ones((channels, 1, scale, scale), np.float32)
    filler = {'type': 'constant', 'value': 1}
    made.add('Deconvolution', made.bottoms, '', [ones], convolution_param={**param, 'weight_filler': filler})


@_rule(InnerProduct)
def _inner_product(made: Replacement, layer: InnerProduct) -> None:
    new = made.keep()
    new.inner_product_param.ClearField('normalize')
    if not layer.param.inner_product_param.normalize or layer.transpose or len(made.bottoms) > 1:
        return
    if not made.has_weights:
        layer.error('normalizes its weights, expected -weights to do so beforehand')
    weight, *bias = made.blobs()
    norm = np.sqrt((weight.astype(np.float64) ** 2).sum(1, keepdims=True) + _ROW_EPS)
    made.values[new.name] = [(weight / norm).astype(np.float32), *bias]
