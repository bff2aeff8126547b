"""C3D's layers over time (Tran et al. 2015), brought to BVLC's where those say the same.

Its first version states them in BVLC's messages, the second in messages of their own. Both have one number for height
and width and one for time, where BVLC's convolution has a list.
"""

from caffe.proto import caffe_pb2

_CONVOLUTIONS = {'Convolution3D': 'Convolution', 'Deconvolution3D': 'Deconvolution'}
_CLIPS = ('VideoData', 'VideoWithVoxelTruthData')


def upgrade_c3d(layer: caffe_pb2.LayerParameter) -> None:
    """Convolution3D and Deconvolution3D become the layers without 3D, with numbers for each axis.

    Pooling3D and the layers that read clips keep their types, and get the messages of the second version.
    `filter_group` is left out, as it says how much memory is taken, and so is `group`, which C3D does not read.
    """
    if layer.type in _CONVOLUTIONS:
        _upgrade_convolution(layer)
    if layer.type == 'Pooling3D' and layer.HasField('pooling_param'):
        _move(layer.pooling_param, layer.pooling3d_param)
        layer.ClearField('pooling_param')
    if layer.type in _CLIPS and layer.HasField('image_data_param'):
        _move(layer.image_data_param, layer.video_data_param)
        layer.ClearField('image_data_param')
    if layer.type == 'VideoSegmentationData':
        _move(layer.image_data_param, layer.video_data_param)
        layer.ClearField('image_data_param')
        layer.video_data_param.use_byte_input = True
        layer.type = 'VideoWithVoxelTruthData'


def _upgrade_convolution(layer: caffe_pb2.LayerParameter) -> None:
    first = not layer.HasField('convolution3d_param')
    old = layer.convolution_param if first else layer.convolution3d_param
    if first and not old.HasField('kernel_depth'):
        return
    depth = old.kernel_depth, old.temporal_stride, old.temporal_pad
    side = [value[0] if value else default for value, default in zip(_sides(old, first), (0, 1, 0))]
    new = type(layer)().convolution_param
    new.num_output, new.bias_term = old.num_output, old.bias_term
    for field in ('weight_filler', 'bias_filler'):
        if old.HasField(field):
            getattr(new, field).CopyFrom(getattr(old, field))
    for field, time, plane in zip(('kernel_size', 'stride', 'pad'), depth, side):
        getattr(new, field).extend([time, plane, plane])
    layer.ClearField('convolution3d_param')
    layer.convolution_param.CopyFrom(new)
    layer.type = _CONVOLUTIONS[layer.type]


def _sides(old: caffe_pb2.ConvolutionParameter | caffe_pb2.Convolution3DParameter, first: bool) -> list[list[int]]:
    """Kernel, stride and pad in the plane, which only the first version's message repeats."""
    values = (old.kernel_size, old.stride, old.pad)
    return [list(value) if first else [value] for value in values]


def _move(
    old: caffe_pb2.PoolingParameter | caffe_pb2.ImageDataParameter,
    new: caffe_pb2.Pooling3DParameter | caffe_pb2.VideoDataParameter,
) -> None:
    """What is stated in `old`, by name, into `new`."""
    for field, value in old.ListFields():
        setattr(new, field.name, value)
