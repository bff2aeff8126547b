"""V1 nets (2014): `layers { type: CONVOLUTION … }` with types as an enum and parameters' multipliers as lists."""

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_V1 = caffe_pb2.V1LayerParameter
_TYPES = {
    'NONE': '',
    'ABSVAL': 'AbsVal',
    'ACCURACY': 'Accuracy',
    'ARGMAX': 'ArgMax',
    'BNLL': 'BNLL',
    'CONCAT': 'Concat',
    'CONTRASTIVE_LOSS': 'ContrastiveLoss',
    'CONVOLUTION': 'Convolution',
    'CONVOLUTION3D': 'Convolution3D',
    'DATA': 'Data',
    'DECONVOLUTION': 'Deconvolution',
    'DECONVOLUTION3D': 'Deconvolution3D',
    'DROPOUT': 'Dropout',
    'DUMMY_DATA': 'DummyData',
    'EUCLIDEAN_LOSS': 'EuclideanLoss',
    'ELTWISE': 'Eltwise',
    'EXP': 'Exp',
    'FLATTEN': 'Flatten',
    'HDF5_DATA': 'HDF5Data',
    'HDF5_OUTPUT': 'HDF5Output',
    'HINGE_LOSS': 'HingeLoss',
    'IM2COL': 'Im2col',
    'IMAGE_DATA': 'ImageData',
    'INFOGAIN_LOSS': 'InfogainLoss',
    'INNER_PRODUCT': 'InnerProduct',
    'LRN': 'LRN',
    'MEMORY_DATA': 'MemoryData',
    'MULTINOMIAL_LOGISTIC_LOSS': 'MultinomialLogisticLoss',
    'MVN': 'MVN',
    'POOLING': 'Pooling',
    'POOLING3D': 'Pooling3D',
    'POWER': 'Power',
    'RELU': 'ReLU',
    'ROI_POOLING': 'ROIPooling',  # of the first nets of Fast R-CNN
    'SIGMOID': 'Sigmoid',
    'SIGMOID_CROSS_ENTROPY_LOSS': 'SigmoidCrossEntropyLoss',
    'SILENCE': 'Silence',
    'SLICE': 'Slice',
    'SOFTMAX': 'Softmax',
    'SOFTMAX_LOSS': 'SoftmaxWithLoss',
    'SPLIT': 'Split',
    'TANH': 'TanH',
    'THRESHOLD': 'Threshold',
    'VIDEO_DATA': 'VideoData',
    'VIDEO_SEGMENTATION_DATA': 'VideoSegmentationData',
    'VIDEO_WITH_VOXEL_TRUTH_DATA': 'VideoWithVoxelTruthData',
    'VOXEL_SOFTMAX': 'Softmax',
    'VOXEL_SOFTMAX_LOSS': 'VoxelSoftmaxWithLoss',
    'WINDOW_DATA': 'WindowData',
}
_SHARE_MODES = {_V1.STRICT: caffe_pb2.ParamSpec.STRICT, _V1.PERMISSIVE: caffe_pb2.ParamSpec.PERMISSIVE}
_OWN_PARAMETERS = {
    'DATA': 'data_param',
    'WINDOW_DATA': 'window_data_param',
    **dict.fromkeys(
        ('IMAGE_DATA', 'VIDEO_DATA', 'VIDEO_SEGMENTATION_DATA', 'VIDEO_WITH_VOXEL_TRUTH_DATA'), 'image_data_param'
    ),
}


def upgrade_v1(net: caffe_pb2.NetParameter, origin: str) -> None:
    """Rewrite the `layers` of a V1 net as `layer`, in place."""
    if net.layer:
        raise CaffeError(f"{origin}: has 'layer' and 'layers' blocks, expected one kind")
    for old in net.layers:
        _move_transformation(old)
        _convert(old, net.layer.add())
    del net.layers[:]


def _move_transformation(old: caffe_pb2.V1LayerParameter) -> None:
    """scale, mean_file, crop_size and mirror of a data layer's own parameters belong into transform_param."""
    name = _OWN_PARAMETERS.get(_V1.LayerType.Name(old.type))
    if name is None or not old.HasField(name):
        return
    own = getattr(old, name)
    for field in ('scale', 'mean_file', 'crop_size', 'mirror'):
        if own.HasField(field):
            setattr(old.transform_param, field, getattr(own, field))
            own.ClearField(field)
    if name == 'image_data_param' and own.HasField('mean_value'):
        old.transform_param.mean_value.append(own.mean_value)
        own.ClearField('mean_value')


def _convert(old: caffe_pb2.V1LayerParameter, new: caffe_pb2.LayerParameter) -> None:
    new.name = old.name
    if not old.HasField('name'):
        new.ClearField('name')
    if old.HasField('type'):
        new.type = _TYPES[_V1.LayerType.Name(old.type)]
    for name in ('bottom', 'top', 'include', 'exclude', 'blobs', 'loss_weight'):
        getattr(new, name).extend(getattr(old, name))
    for field, value in old.ListFields():
        if field.name.endswith('_param'):
            getattr(new, field.name).CopyFrom(value)
    _convert_specs(old, new)


def _convert_specs(old: caffe_pb2.V1LayerParameter, new: caffe_pb2.LayerParameter) -> None:
    count = max(map(len, (old.param, old.blob_share_mode, old.blobs_lr, old.weight_decay)))
    specs = [new.param.add() for _ in range(count)]
    for spec, name in zip(specs, old.param):
        spec.name = name
    for spec, mode in zip(specs, old.blob_share_mode):
        spec.share_mode = _SHARE_MODES[mode]
    for spec, rate in zip(specs, old.blobs_lr):
        spec.lr_mult = rate
    for spec, decay in zip(specs, old.weight_decay):
        spec.decay_mult = decay
