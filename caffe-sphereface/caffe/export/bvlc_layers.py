"""What each layer of a fork is in layers of BVLC's Caffe 1.0; one rule for each class.

Those of layers that move and resample values are in bvlc_pictures.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from caffe.layers.activation.dropout import Dropout
from caffe.layers.activation.insanity import Insanity
from caffe.layers.activation.relu6 import ReLU6
from caffe.layers.norm.bn import BN, SegNetBN
from caffe.layers.norm.norm_l2 import NormL2
from caffe.layers.norm.normalize import Normalize
from caffe.layers.norm.ssd_normalize import SSDNormalize
from caffe.layers.product.axpy import Axpy
from caffe.layers.product.channel_scale import ChannelScale
from caffe.layers.product.inner_product import InnerProduct
from caffe.layers.shape.permute import Permute
from caffe.layers.support.registry import Layer, layer_class
from caffe.layers.vision.convolution_depthwise import ConvolutionDepthwise
from caffe.layers.vision.pooling import Pooling
from caffe.layers.vision.pooling_kernels import Geometry
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
_NORM_FACE_EPS = 1e-6  # of NormFace's Normalize
_PRODUCT = {'operation': 'PROD'}
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
        made.keep().ClearField('true_gradient')
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


@rule(ConvolutionDepthwise)
def _convolution_depthwise(made: Replacement, layer: ConvolutionDepthwise) -> None:
    new = made.keep(type='Convolution')
    param = new.convolution_param
    param.num_output = param.group = made.shapes[0][1]
    for name in ('kernel', 'stride', 'pad'):  # the layer reads them as a pair only
        pair = (f'{name}_h', f'{name}_w')
        if not all(map(param.HasField, pair)):
            for field in pair:
                param.ClearField(field)


@rule(Pooling)
def _pooling(made: Replacement, layer: Pooling) -> None:
    """Rounding up is BVLC's; rounded down, the row and the column beyond are cut off where there are any."""
    new = made.keep()
    param = new.pooling_param
    down = param.round_mode == param.FLOOR or not param.ceil_mode
    for field in ('round_mode', 'ceil_mode'):
        param.ClearField(field)
    param.pool = param.pool  # OpenCV has no default
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


@rule(Insanity)
def _insanity(made: Replacement, layer: Insanity) -> None:
    made.add('ReLU', made.bottoms, relu_param={'negative_slope': layer.slope})


@rule(ReLU6)
def _relu6(made: Replacement, layer: ReLU6) -> None:
    """min(y, 6) = y − max(y − 6, 0), which rounds nowhere."""
    slope = layer.param.relu6_param.negative_slope
    y = made.add('ReLU', made.bottoms, 'relu', relu_param={'negative_slope': slope} if slope else {})
    over = made.add('Power', [y], 'over', power_param={'shift': -6})
    over = made.add('ReLU', [over], 'excess')
    made.add('Eltwise', [y, over], eltwise_param={'operation': 'SUM', 'coeff': [1, -1]})


@rule('Clip')
def _clip(made: Replacement, layer: Layer) -> None:
    param = layer.param.clip_param
    if param.min != 0:
        layer.error(f'has min {param.min:g}, expected 0, where the same follows from BVLC Caffe 1.0 without rounding')
    y = made.add('ReLU', made.bottoms, 'relu')
    over = made.add('Power', [y], 'over', power_param={'shift': -param.max})
    over = made.add('ReLU', [over], 'excess')
    made.add('Eltwise', [y, over], eltwise_param={'operation': 'SUM', 'coeff': [1, -1]})


@rule('Swish')
def _swish(made: Replacement, layer: Layer) -> None:
    x = made.bottoms[0]
    gate = made.add('Power', [x], 'beta', power_param={'scale': layer.param.swish_param.beta})
    gate = made.add('Sigmoid', [gate], 'gate')
    made.add('Eltwise', [x, gate], eltwise_param=_PRODUCT)


@rule(Dropout)
def _dropout(made: Replacement, layer: Dropout) -> None:
    if not layer.is_test:
        layer.error('draws in the TEST phase, expected it without sample_weights_test')
    if layer.test_scale == 1:
        made.keep()
    else:
        made.add('Power', made.bottoms, power_param={'scale': layer.test_scale})


@rule(BN)
def _bn(made: Replacement, layer: BN) -> None:
    slope, bias, mean, variance = (values.reshape(-1) for values in made.blobs())
    statistics = {'use_global_stats': True, 'eps': layer.eps}
    values = [mean, variance, np.ones(1, np.float32)]
    x = made.add('BatchNorm', made.bottoms, 'statistics', values, batch_norm_param=statistics)
    made.add('Scale', [x], '', [slope, bias], scale_param={'bias_term': True})


@rule(SegNetBN)
def _segnet_bn(made: Replacement, layer: SegNetBN) -> None:
    if not layer.is_fixed:
        layer.error('uses the statistics of its batch, expected bn_mode: INFERENCE')
    values = [values.reshape(-1) for values in made.blobs()]
    made.add('Scale', made.bottoms, '', values, scale_param={'bias_term': True})


def _sums(made: Replacement, x: str, suffix: str, inputs: int, channels: int) -> str:
    """At each position Σ over the `inputs` channels of x, in each of `channels` channels."""
    ones = np.ones((channels, inputs, 1, 1), np.float32)
    filler = {'type': 'constant', 'value': 1}
    param = {'num_output': channels, 'kernel_size': [1], 'bias_term': False, 'weight_filler': filler}
    return made.add('Convolution', [x], suffix, [ones], convolution_param=param)


def _normalized(
    made: Replacement, x: str, suffix: str, power: dict[str, float], absolute: bool = False, of_pictures: bool = False
) -> str:
    """x (N, C, H, W) times `power` of its sums of squares, or of absolute values: of positions or of whole pictures."""
    _, channels, height, width = made.top_shapes[0]
    size = made.add('AbsVal', [x], 'sizes') if absolute else made.add('Power', [x], 'sizes', power_param={'power': 2})
    if of_pictures:
        size = made.add('Pooling', [size], 'means', pooling_param={'pool': 'AVE', 'global_pooling': True})
        power['scale'] = height * width
    factor = made.add('Power', [_sums(made, size, 'sums', channels, channels)], 'factor', power_param=power)
    if not of_pictures:
        return made.add('Eltwise', [x, factor], suffix, eltwise_param=_PRODUCT)
    factor = made.add('Reshape', [factor], 'factors', reshape_param={'shape': {'dim': [0, -1]}})
    return made.add('Scale', [x, factor], suffix, scale_param={'axis': 0})


def _as_picture(made: Replacement) -> str:
    """The bottom in the shape of the top, which has 4 axes."""
    shape = made.top_shapes[0]
    if len(shape) != 4:
        made.layer.error(f'has a bottom of shape {made.shapes[0]}, expected at most 4 axes')
    if made.shapes[0] == shape:
        return made.bottoms[0]
    return made.add('Reshape', made.bottoms, 'picture', reshape_param={'shape': {'dim': [0, *shape[1:]]}})


@rule(NormL2)
def _norm_l2(made: Replacement, layer: NormL2) -> None:
    _normalized(made, _as_picture(made), '', {'shift': _NORM_L2_EPS, 'power': -0.5}, of_pictures=True)


@rule(Normalize)
def _normalize(made: Replacement, layer: Normalize) -> None:
    if len(made.tops) > 1:
        layer.error('has a top for the norms, expected one top')
    absolute = layer.kind == 'L1'
    power = {'shift': _NORM_FACE_EPS, 'power': -1 if absolute else -0.5}
    _normalized(made, _as_picture(made), '', power, absolute)


@rule(SSDNormalize)
def _ssd_normalize(made: Replacement, layer: SSDNormalize) -> None:
    param = layer.param.norm_param
    power = {'shift': param.eps, 'power': -0.5}
    unit = _normalized(made, _as_picture(made), 'unit', power, of_pictures=param.across_spatial)
    scales = np.broadcast_to(made.blobs()[0], made.shapes[0][1:2]).copy()
    made.add('Scale', [unit], '', [scales], scale_param={'filler': param.scale_filler})


@rule(ChannelScale)
def _channel_scale(made: Replacement, layer: ChannelScale) -> None:
    param, (x, scale) = layer.param.channel_scale_param, made.bottoms
    if len(made.tops) > 1:
        layer.error('has a top for its scale, expected one top')
    if not param.do_forward or param.global_scale:
        made.add('Silence', [scale], 'unused', tops=[])
    if not param.do_forward:
        made.copy()
    elif param.global_scale:
        value = float(np.clip(made.blobs()[0][0], param.min_global_scale, param.max_global_scale))
        made.add('Power', [x], power_param={'scale': value})
    else:
        _, channels, *space = made.shapes[0]
        scale = made.add('Reshape', [scale], 'map', reshape_param={'shape': {'dim': [0, 1, *(space or [1, 1])]}})
        scale = _sums(made, scale, 'factors', 1, channels)
        if len(made.shapes[0]) != 4:
            scale = made.add('Reshape', [scale], 'shaped', reshape_param={'shape': {'dim': [0, *made.shapes[0][1:]]}})
        made.add('Eltwise', [x, scale], eltwise_param=_PRODUCT)


@rule(Axpy)
def _axpy(made: Replacement, layer: Axpy) -> None:
    factors, x, y = made.bottoms
    if len(made.shapes[0]) > 2:
        factors = made.add('Reshape', [factors], 'factors', reshape_param={'shape': {'dim': [0, -1]}})
    scaled = made.add('Scale', [x, factors], 'scaled', scale_param={'axis': 0})
    made.add('Eltwise', [scaled, y], eltwise_param={'operation': 'SUM'})


@rule(InnerProduct)
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
