"""What the workflow has to know about types of layers beyond what a prototxt says: one table.

How channels pass a type is a rule of `channels`; here is what several rooms ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sphereslim.engine import caffe_pb2

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Statistics:
    """The mean and variance of each channel that a norm stores in its blobs."""

    first: int  # the index of the means among its blobs; variances follow, and what divides both, where it has that
    param: str  # its message, which has eps
    switch: str = ''  # the field of it that, when false, makes it use those of each batch in tests too
    biased: bool = False  # whether variances are of n values, not of n − 1

    def stored(self, blobs: Sequence[Array]) -> tuple[Array, Array] | None:
        """(mean, variance), each (C), in double precision; None where there are none, or none were taken yet."""
        values = [np.array(blob, np.float64).ravel() for blob in blobs[self.first :]]
        divisor = values[2][0] if len(values) > 2 else 1.0
        return (values[0] / divisor, values[1] / divisor) if values and divisor else None

    def affine(self, layer: caffe_pb2.LayerParameter, blobs: Sequence[Array]) -> tuple[Array, Array] | None:
        """(factor, summand) of each channel by which a layer with stored statistics changes it; None without them."""
        param, found = getattr(layer, self.param), self.stored(blobs)
        if found is None or (self.switch and param.HasField(self.switch) and not getattr(param, self.switch)):
            return None
        mean, variance = found
        own = [np.array(blob, np.float64).ravel() for blob in blobs[: self.first]]
        factor = (own[0] if own else 1.0) / np.sqrt(variance + param.eps)
        return factor, (own[1] if own else 0.0) - mean * factor


@dataclass(frozen=True)
class LayerType:
    """A type of layer; a type that is not in the table has none of these traits."""

    param: str = ''  # the message whose `num_output` counts the outputs of its weight matrix
    convolves: bool = False  # slides filters (num_output, channels / group, kernel…), each bottom into its own top
    sums: bool = False  # an output is a sum of weights times inputs, which parts into one share per input channel
    refittable: bool = False  # such a layer whose weights least squares finds
    takes_affine: bool = False  # weights and a bias, into which a factor and a shift per channel can be folded
    per_class: bool = False  # may have an output or a row of weights for each class
    counts_forwards: bool = False  # lambda or alpha moves with every forward
    per_channel: bool = False  # keeps the shape and treats each channel by itself
    activation: bool = False  # such a layer that makes a neuron of what a convolution or norm gives
    judge: bool = False  # holds its first input against the labels of classes
    data: bool = False  # feeds the net
    statistics: Statistics | None = None  # what it stores of the values that went through

    @property
    def first_statistic(self) -> int | None:
        """The index of the first of its blobs that are statistics, not learned."""
        return self.statistics.first if self.statistics else None


_ACTIVATION = LayerType(per_channel=True, activation=True)
_PER_CHANNEL = LayerType(per_channel=True)
_JUDGE = LayerType(judge=True)
_DATA = LayerType(data=True)

LAYER_TYPES = {
    **dict.fromkeys(
        ('Convolution', 'DepthwiseConvolution'),
        LayerType('convolution_param', convolves=True, sums=True, refittable=True, takes_affine=True),
    ),
    'ConvolutionFixed': LayerType('convolution_param', convolves=True, sums=True),
    'ConvolutionDepthwise': LayerType(convolves=True, sums=True, takes_affine=True),
    'Deconvolution': LayerType('convolution_param', takes_affine=True),
    'InnerProduct': LayerType('inner_product_param', sums=True, refittable=True, takes_affine=True, per_class=True),
    'InnerProductFixed': LayerType('inner_product_param', sums=True),
    'MarginInnerProduct': LayerType('margin_inner_product_param', sums=True, per_class=True, counts_forwards=True),
    'LargeMarginInnerProduct': LayerType(
        'largemargin_inner_product_param', sums=True, per_class=True, counts_forwards=True
    ),
    'InterClass': LayerType('inter_class_param', per_class=True, counts_forwards=True),
    **dict.fromkeys(
        ('ReLU', 'PReLU', 'ELU', 'Sigmoid', 'TanH', 'Swish', 'BNLL', 'AbsVal', 'Power', 'Clip', 'ReLU6', 'SeLu'),
        _ACTIVATION,
    ),
    **dict.fromkeys(
        ('Dropout', 'SeLuDropout', 'Exp', 'Log', 'Threshold', 'Scale', 'Bias', 'Flip', 'Insanity'), _PER_CHANNEL
    ),
    'BatchNorm': LayerType(per_channel=True, statistics=Statistics(0, 'batch_norm_param', 'use_global_stats')),
    'BN': LayerType(per_channel=True, statistics=Statistics(2, 'bn_param', biased=True)),
    **dict.fromkeys(('SoftmaxWithLoss', 'Accuracy', 'MultinomialLogisticLoss', 'HingeLoss', 'FocalLoss'), _JUDGE),
    **dict.fromkeys(('VoxelSoftmaxWithLoss', 'SegAccuracy'), _JUDGE),
    **dict.fromkeys(
        ('LabelSpecificRescale', 'GlobalLSEMargin', 'GeneralContrastiveLoss', 'GeneralTripletLoss'), _JUDGE
    ),
    **dict.fromkeys(
        ('LabelSpecificAdd', 'LabelSpecificMargin', 'CosinAddm', 'CombinedMargin', 'AdaCosAddmScale'), _JUDGE
    ),
    **dict.fromkeys(('ImageData', 'Data', 'HDF5Data', 'WindowData', 'MemoryData', 'DummyData', 'Input'), _DATA),
    **dict.fromkeys(('MultiLabelImageData', 'DenseImageData', 'AnnotatedData', 'ImageGtData', 'VideoData'), _DATA),
    **dict.fromkeys(('ImageSegData', 'ImageLabelmapData'), _DATA),
}
_NOTHING_KNOWN = LayerType()


def layer_type(layer: caffe_pb2.LayerParameter) -> LayerType:
    """The traits of a LayerParameter's type."""
    return LAYER_TYPES.get(layer.type, _NOTHING_KNOWN)


def types_with(trait: str) -> tuple[str, ...]:
    """The types that have a trait, in the order of the table."""
    return tuple(name for name, known in LAYER_TYPES.items() if getattr(known, trait))


# of Synopsys' Caffe; a genuine one's messages have none of them
_SIDES = ('pad_l', 'pad_r', 'pad_t', 'pad_b', 'pad_type')


def pads_sides(param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter) -> bool:
    """Whether the padding of each side is stated, or follows from the size of the bottom (`pad_type`)."""
    return any(getattr(param, side, 0) for side in _SIDES)


def is_padded(param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter) -> bool:
    """Whether there is padding on any side."""
    pads = param.pad if isinstance(param, caffe_pb2.ConvolutionParameter) else [param.pad]
    return any(pads) or bool(param.pad_h or param.pad_w) or pads_sides(param)
