"""The networks of the experiment: the baseline at the run's size and its smaller versions, train and deploy."""

from pathlib import Path

from sphereslim.engine import caffe_pb2
from sphereslim.net.heads import classifiers, with_classes
from sphereslim.net.messages import copy_of
from sphereslim.net.prototxt import find_layer, read_net, with_data
from sphereslim.rewrite import shrink
from sphereslim.rewrite.recipe import classifier_input, with_rotation, with_unit_feature
from sphereslim.rewrite.replace import substitute
from sphereslim.rewrite.shallow import drop_layers
from sphereslim.studies.flame.lists import Lists
from sphereslim.studies.flame.settings import Settings

BASELINE = 'vgg11bn'
# name in the print, module, halved filters, dropped layers
VARIANTS = {
    BASELINE: ('VGG11_bn', None, False, False),
    'fire': ('fire', 'fire', False, False),
    'dwpw': ('depthwise+pointwise', 'dwpw', False, False),
    'flame': ('flame', 'flame', False, False),
    'flame-shrink': ('flame+shrink', 'flame', True, False),
    'flame-shallow': ('flame+shallow', 'flame', False, True),
    'flame-shrink-shallow': ('flame+shrink+shallow', 'flame', True, True),
}
DROPPED = (3, 5, 7)  # of the convolutions, counted from 1


def printed_name(variant: str) -> str:
    """The variant's name in the print."""
    return VARIANTS[variant][0]


def variant_nets(
    settings: Settings, folder: Path, variant: str, faces: Lists
) -> tuple[caffe_pb2.NetParameter, caffe_pb2.NetParameter]:
    """(train, deploy) of a variant of the net in `folder`, of the run's width and sizes, for `faces`."""
    train, deploy = (read_net(folder / f'{part}.prototxt') for part in ('train', 'deploy'))
    name = classifiers(train)[0].name
    feature = classifier_input(train, name)
    train, deploy = (_rewritten(net, settings, variant) for net in (train, deploy))
    train = with_data(with_classes(train, faces.people), faces.train, f'{faces.pictures}/', settings.training.batch)
    find_layer(deploy, name).inner_product_param.num_output = faces.people
    if settings.feature_scale:
        train, deploy = (with_unit_feature(net, feature, settings.feature_scale) for net in (train, deploy))
    if settings.rotation:
        train = with_rotation(train, settings.rotation, settings.seed)
    train.name = deploy.name = variant
    return _averaged(train, settings.moving_average), deploy


def _rewritten(net: caffe_pb2.NetParameter, settings: Settings, variant: str) -> caffe_pb2.NetParameter:
    net = _sized(net, settings)
    if settings.width != 1:
        net = shrink(net, settings.width, keep_last=0)
    _, module, shrunk, shallow = VARIANTS[variant]
    convolutions = [layer.name for layer in net.layer if layer.type == 'Convolution']
    net = shrink(net) if shrunk else net
    net = drop_layers(net, [convolutions[number - 1] for number in DROPPED]) if shallow else net
    return substitute(net, module) if module else net


def _sized(net: caffe_pb2.NetParameter, settings: Settings) -> caffe_pb2.NetParameter:
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'ImageData':
            layer.image_data_param.new_height = layer.image_data_param.new_width = settings.resize
            layer.transform_param.crop_size = settings.crop
        elif layer.type == 'Input':
            layer.input_param.shape[0].dim[2:] = [settings.crop, settings.crop]
    return result


def _averaged(net: caffe_pb2.NetParameter, fraction: float) -> caffe_pb2.NetParameter:
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'BatchNorm':
            layer.batch_norm_param.moving_average_fraction = fraction
    return result


def logits_of(net: caffe_pb2.NetParameter) -> str:
    """The blob that the loss judges."""
    return classifiers(net)[0].top[0]
