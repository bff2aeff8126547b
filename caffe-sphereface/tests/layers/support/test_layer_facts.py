"""Layers of a plug-in: what their classes state is enough to take part in everything that rewrites nets."""

import numpy as np
import pytest
import torch

import caffe
from caffe.layers.support import registry
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, layer_class, layer_types, register
from caffe.net.state_dict import import_state_dict
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text

NET = """
force_backward: false
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" param { lr_mult: 0 } param { lr_mult: 0 }
        convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "g" type: "Gain" bottom: "c" top: "g" param { lr_mult: 0 } }
layer { name: "cap" type: "Cap" bottom: "g" top: "y" }
"""


@pytest.fixture
def plug_in(monkeypatch):
    """The types Gain, a factor for each channel, and Cap, which cuts values at 0.2, known for one test."""
    monkeypatch.setattr(registry, '_types', dict(registry._types))

    @register('Gain')
    class Gain(Layer):
        bottoms = tops = 1
        folds_as = 'affine'
        ran = 0

        def setup(self, bottom, top):
            add_parameter(self, (bottom[0].shape[1],), caffe_pb2.FillerParameter(type='uniform', min=0.5, max=2))

        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].shape)

        def forward(self, bottom, top):
            Gain.ran += 1
            top[0].tensor = bottom[0].tensor * self.blobs[0].tensor.reshape(-1, 1, 1)

    @register('Cap')
    class Cap(Layer):
        bottoms = tops = 1
        folds_as = 'activation'

        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].shape)

        def infer(self, x):
            return x.clamp(max=0.2)

        def forward(self, bottom, top):
            top[0].tensor = self.infer(bottom[0].tensor)

    return Gain


def test_a_new_layer_folds_with_those_beside_it(plug_in):
    net = caffe.Net(parse_text(NET, caffe_pb2.NetParameter(), 'test'), caffe.TEST)
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    alone = net.forward(x=x)['y'].copy()
    net.forward(x=x)
    before = plug_in.ran
    folded = net.forward(x=x)['y']
    assert before and plug_in.ran == before
    np.testing.assert_allclose(folded, alone, atol=1e-5)
    np.testing.assert_allclose(folded, net.blobs['g'].data.clip(max=np.float32(0.2)), atol=1e-5)
    assert plug_in.ran == before + 1


def test_a_new_layer_takes_its_values_from_a_module_of_pytorch(plug_in, tmp_path):
    net = caffe.Net(parse_text(NET, caffe_pb2.NetParameter(), 'test'), caffe.TEST)
    torch.save({'gain.weight': torch.arange(5.0)}, tmp_path / 'state.pt')
    (tmp_path / 'map').write_text('c -\ng gain\n')
    import_state_dict(net, str(tmp_path / 'state.pt'), str(tmp_path / 'map'))
    assert net.params['g'][0].data.tolist() == [0, 1, 2, 3, 4]


def test_what_folds_can_be_computed_without_its_blobs():
    for name in layer_types():
        kind = layer_class(name)
        if kind.folds_as == 'activation':
            assert kind.infer or kind.activation is not Layer.activation, name
        assert not (kind.folds_as in ('affine', 'activation') and not kind.per_channel), name
        assert kind.values_from is None or kind.bottoms == 0, name
