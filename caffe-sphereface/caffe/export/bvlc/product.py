"""Products and scales of forks in layers of BVLC's Caffe 1.0."""

import numpy as np

from caffe.export.bvlc.replacement import PRODUCT, Replacement, rule, sums
from caffe.layers.product.axpy import Axpy
from caffe.layers.product.channel_scale import ChannelScale
from caffe.layers.product.inner_product import InnerProduct

_ROW_EPS = 1e-6  # of InnerProduct's normalize


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
        scale = sums(made, scale, 'factors', 1, channels)
        if len(made.shapes[0]) != 4:
            scale = made.add('Reshape', [scale], 'shaped', reshape_param={'shape': {'dim': [0, *made.shapes[0][1:]]}})
        made.add('Eltwise', [x, scale], eltwise_param=PRODUCT)


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
