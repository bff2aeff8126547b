"""Normalizations of forks in layers of BVLC's Caffe 1.0: sums of squares by convolutions with ones."""

import numpy as np

from caffe.export.bvlc.replacement import PRODUCT, Replacement, rule, sums
from caffe.layers.norm.bn import BN, SegNetBN
from caffe.layers.norm.norm_l2 import NormL2
from caffe.layers.norm.normalize import Normalize
from caffe.layers.norm.ssd_normalize import SSDNormalize

_NORM_L2_EPS = 1e-7
_NORM_FACE_EPS = 1e-6  # of NormFace's Normalize


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


def _normalized(
    made: Replacement, x: str, suffix: str, power: dict[str, float], absolute: bool = False, of_pictures: bool = False
) -> str:
    """x (N, C, H, W) times `power` of its sums of squares, or of absolute values: of positions or of whole pictures."""
    _, channels, height, width = made.top_shapes[0]
    size = made.add('AbsVal', [x], 'sizes') if absolute else made.add('Power', [x], 'sizes', power_param={'power': 2})
    if of_pictures:
        size = made.add('Pooling', [size], 'means', pooling_param={'pool': 'AVE', 'global_pooling': True})
        power['scale'] = height * width
    factor = made.add('Power', [sums(made, size, 'sums', channels, channels)], 'factor', power_param=power)
    if not of_pictures:
        return made.add('Eltwise', [x, factor], suffix, eltwise_param=PRODUCT)
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
