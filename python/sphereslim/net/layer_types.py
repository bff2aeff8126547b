"""What the workflow has to know about types of layers beyond what a prototxt says: one table.

How channels pass a type is a rule of `channels`; here is what several rooms ask.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerType:
    """A type of layer; a type that is not in the table has none of these traits."""

    param: str = ''  # the message whose `num_output` counts the outputs of its weight matrix
    sums: bool = False  # an output is a sum of weights times inputs, which parts into one share per input channel
    refittable: bool = False  # such a layer whose weights least squares finds
    per_class: bool = False  # may have an output or a row of weights for each class
    counts_forwards: bool = False  # lambda or alpha moves with every forward
    per_channel: bool = False  # keeps the shape and treats each channel by itself
    activation: bool = False  # such a layer that makes a neuron of what a convolution or norm gives
    judge: bool = False  # holds its first input against the labels of classes
    data: bool = False  # feeds the net


_ACTIVATION = LayerType(per_channel=True, activation=True)
_PER_CHANNEL = LayerType(per_channel=True)
_JUDGE = LayerType(judge=True)
_DATA = LayerType(data=True)

LAYER_TYPES = {
    'Convolution': LayerType('convolution_param', sums=True, refittable=True),
    'Deconvolution': LayerType('convolution_param'),
    'InnerProduct': LayerType('inner_product_param', sums=True, refittable=True, per_class=True),
    'MarginInnerProduct': LayerType('margin_inner_product_param', sums=True, per_class=True, counts_forwards=True),
    'InterClass': LayerType('inter_class_param', per_class=True, counts_forwards=True),
    **dict.fromkeys(
        ('ReLU', 'PReLU', 'ELU', 'Sigmoid', 'TanH', 'Swish', 'BNLL', 'AbsVal', 'Power', 'Clip'), _ACTIVATION
    ),
    **dict.fromkeys(('Dropout', 'Exp', 'Log', 'Threshold', 'BatchNorm', 'Scale', 'Bias'), _PER_CHANNEL),
    **dict.fromkeys(('SoftmaxWithLoss', 'Accuracy', 'MultinomialLogisticLoss', 'HingeLoss'), _JUDGE),
    **dict.fromkeys(('ImageData', 'Data', 'HDF5Data', 'WindowData', 'MemoryData', 'DummyData', 'Input'), _DATA),
}
_NOTHING_KNOWN = LayerType()


def layer_type(layer) -> LayerType:
    """The traits of a LayerParameter's type."""
    return LAYER_TYPES.get(layer.type, _NOTHING_KNOWN)


def types_with(trait: str) -> tuple[str, ...]:
    """The types that have a trait, in the order of the table."""
    return tuple(name for name, known in LAYER_TYPES.items() if getattr(known, trait))
