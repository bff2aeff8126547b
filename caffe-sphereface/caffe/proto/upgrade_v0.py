"""V0 nets (2013): `layers { layer { type: "conv" … } }` with every parameter in one flat message."""

from google.protobuf.message import Message

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_DATA = ('data', 'images', 'window_data')
_TRANSFORM = {'scale': 'scale', 'meanfile': 'mean_file', 'cropsize': 'crop_size', 'mirror': 'mirror'}
_WINDOW = {
    'det_fg_threshold': 'fg_threshold',
    'det_bg_threshold': 'bg_threshold',
    'det_fg_fraction': 'fg_fraction',
    'det_context_pad': 'context_pad',
    'det_crop_mode': 'crop_mode',
}

# V0 type -> (V1 enum name, field of the type's own parameters, {V0 field: field in there})
_FILLED = {
    'num_output': 'num_output',
    'biasterm': 'bias_term',
    'weight_filler': 'weight_filler',
    'bias_filler': 'bias_filler',
}
_TYPES: dict[str, tuple[str, str | None, dict[str, str]]] = {
    'accuracy': ('ACCURACY', None, {}),
    'bnll': ('BNLL', None, {}),
    'concat': ('CONCAT', 'concat_param', {'concat_dim': 'concat_dim'}),
    'conv': (
        'CONVOLUTION',
        'convolution_param',
        {**_FILLED, 'pad': 'pad', 'kernelsize': 'kernel_size', 'group': 'group', 'stride': 'stride'},
    ),
    'data': ('DATA', 'data_param', {'source': 'source', 'batchsize': 'batch_size', 'rand_skip': 'rand_skip'}),
    'dropout': ('DROPOUT', 'dropout_param', {'dropout_ratio': 'dropout_ratio'}),
    'euclidean_loss': ('EUCLIDEAN_LOSS', None, {}),
    'flatten': ('FLATTEN', None, {}),
    'hdf5_data': ('HDF5_DATA', 'hdf5_data_param', {'source': 'source', 'batchsize': 'batch_size'}),
    'hdf5_output': ('HDF5_OUTPUT', None, {}),
    'im2col': ('IM2COL', 'convolution_param', {'pad': 'pad', 'kernelsize': 'kernel_size', 'stride': 'stride'}),
    'images': (
        'IMAGE_DATA',
        'image_data_param',
        {
            'source': 'source',
            'batchsize': 'batch_size',
            'rand_skip': 'rand_skip',
            'shuffle_images': 'shuffle',
            'new_height': 'new_height',
            'new_width': 'new_width',
        },
    ),
    'infogain_loss': ('INFOGAIN_LOSS', 'infogain_loss_param', {'source': 'source'}),
    'innerproduct': ('INNER_PRODUCT', 'inner_product_param', _FILLED),
    'lrn': ('LRN', 'lrn_param', {'local_size': 'local_size', 'alpha': 'alpha', 'beta': 'beta', 'k': 'k'}),
    'multinomial_logistic_loss': ('MULTINOMIAL_LOGISTIC_LOSS', None, {}),
    'pool': (
        'POOLING',
        'pooling_param',
        {'pool': 'pool', 'pad': 'pad', 'kernelsize': 'kernel_size', 'stride': 'stride'},
    ),
    'relu': ('RELU', None, {}),
    'sigmoid': ('SIGMOID', None, {}),
    'softmax': ('SOFTMAX', None, {}),
    'softmax_loss': ('SOFTMAX_LOSS', None, {}),
    'split': ('SPLIT', None, {}),
    'tanh': ('TANH', None, {}),
    'window_data': ('WINDOW_DATA', 'window_data_param', {'source': 'source', 'batchsize': 'batch_size', **_WINDOW}),
}


def is_v0(net: caffe_pb2.NetParameter) -> bool:
    """True for a net with V0 layers."""
    return any(layer.HasField('layer') for layer in net.layers)


def upgrade_v0(net: caffe_pb2.NetParameter, origin: str) -> None:
    """Rewrite the `layers` of a V0 net as V1 layers, in place; padding layers merge into the layers they feed."""
    old = type(net)()
    old.CopyFrom(net)
    del net.layers[:]
    producers: dict[str, caffe_pb2.V1LayerParameter | None] = dict.fromkeys(net.input)
    for outer in old.layers:
        if not outer.HasField('layer'):
            raise CaffeError(
                f"{origin}: layer '{outer.name}' is of version 1 among layers of version 0, expected one version"
            )
        if outer.layer.type != 'padding':
            _merge_padding(outer, producers, origin)
            _convert(outer, net.layers.add(), origin)
        producers.update(dict.fromkeys(outer.top, outer))


def _merge_padding(
    outer: caffe_pb2.V1LayerParameter, producers: dict[str, caffe_pb2.V1LayerParameter | None], origin: str
) -> None:
    layer = outer.layer
    for i, name in enumerate(outer.bottom):
        if name not in producers:
            raise CaffeError(f"{origin}: layer '{layer.name}' ({layer.type}): unknown bottom blob '{name}' (index {i})")
        source = producers[name]
        if source is None or source.layer.type != 'padding':
            continue
        if layer.type not in ('conv', 'pool') or len(outer.bottom) != 1 or len(source.bottom) != 1:
            raise CaffeError(
                f"{origin}: padding layer '{source.layer.name}' feeds layer '{layer.name}' "
                f'({layer.type}), expected a conv or pool layer, one bottom each'
            )
        layer.pad = source.layer.pad
        outer.bottom[i] = source.bottom[0]


def _convert(outer: caffe_pb2.V1LayerParameter, new: caffe_pb2.V1LayerParameter, origin: str) -> None:
    layer = outer.layer
    if layer.type not in _TYPES:
        raise CaffeError(
            f"{origin}: layer '{layer.name}': unknown old type '{layer.type}', "
            f'expected one of: {", ".join(sorted(_TYPES))}'
        )
    kind, parameters, fields = _TYPES[layer.type]
    new.type = caffe_pb2.V1LayerParameter.LayerType.Value(kind)
    new.bottom.extend(outer.bottom)
    new.top.extend(outer.top)
    _copy(layer, new, {'name': 'name', 'blobs': 'blobs', 'blobs_lr': 'blobs_lr', 'weight_decay': 'weight_decay'})
    if parameters:
        _copy(layer, getattr(new, parameters), fields)
    if layer.type == 'hdf5_output':
        _copy(layer, new, {'hdf5_output_param': 'hdf5_output_param'})
    _copy(layer, new.transform_param, _TRANSFORM)


def _copy(source: Message, target: Message, names: dict[str, str]) -> None:
    """Copy the fields that are set, under their new names; a single value may become a repeated one."""
    for field, value in source.ListFields():
        name = names.get(field.name)
        if name is None:
            continue
        present = getattr(target, name)
        if hasattr(present, 'extend'):
            present.extend(value if hasattr(value, 'extend') else [value])
        elif field.message_type:
            present.CopyFrom(value)
        else:
            setattr(target, name, value)
