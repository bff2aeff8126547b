"""Networks at a share of their width and at another picture size."""

import numpy as np
import pytest
from repository import ROOT
from sphereslim.net.inputs import input_shape
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import find_layer, read_net
from sphereslim.rewrite.scaled import resized, scaled_folder

PROTOTXT = ROOT / 'prototxt'


def test_a_whole_net_is_taken_where_it_lies(tmp_path):
    assert scaled_folder(PROTOTXT / 'vgg16', tmp_path / 'net') == PROTOTXT / 'vgg16'
    assert not (tmp_path / 'net').exists()


@pytest.mark.parametrize('name, size', [('vgg16', 64), ('webface', None), ('sphereface-10', None)])
def test_train_and_deploy_shrink_alike(name, size, tmp_path):
    folder = scaled_folder(PROTOTXT / name, tmp_path / 'net', 0.25, size)
    train, deploy = (read_net(folder / f'{kind}.prototxt') for kind in ('train', 'deploy'))
    whole = read_net(PROTOTXT / name / 'deploy.prototxt')
    last = {'vgg16': 'conv5_3', 'webface': 'conv52'}.get(name)
    for layer in (layer for layer in whole.layer if layer.type == 'Convolution'):
        counts = {find_layer(net, layer.name).convolution_param.num_output for net in (train, deploy)}
        assert counts == {layer.convolution_param.num_output // (1 if layer.name == last else 4)}
    assert input_shape(deploy)[2:] == ((size, size) if size else input_shape(whole)[2:])
    net = open_net(deploy)
    assert all(np.isfinite(value).all() for value in net.forward().values())


def test_pictures_are_as_much_larger_than_their_crop_as_before():
    train = resized(read_net(PROTOTXT / 'vgg16' / 'train.prototxt'), 56)
    data = train.layer[0]
    assert (data.image_data_param.new_height, data.image_data_param.new_width) == (64, 64)
    assert data.transform_param.crop_size == 56 and input_shape(train) == (1, 3, 56, 56)
    whole = copy_of(train)
    whole.layer[0].transform_param.ClearField('crop_size')
    data = resized(whole, 40).layer[0]
    assert data.image_data_param.new_height == 40 and not data.transform_param.HasField('crop_size')
