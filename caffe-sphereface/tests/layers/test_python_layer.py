"""Layers written in Python: what users' classes see and what happens when they fail."""

import sys

import numpy as np
import pytest

import caffe
from layer_case import make_net

MODULE = """
import caffe

class Times(caffe.Layer):
    def setup(self, bottom, top):
        self.factor = float(self.param_str or 10)
        self.name, self.tops, self.shapes = 'mine', ['a'], []

    def reshape(self, bottom, top):
        assert self.param_str_ == self.param_str
        self.shapes.append(bottom[0].shape)
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * top[0].diff

    def describe(self, text):
        return text + str(self.factor)


class Learned(caffe.Layer):
    def __init__(self, *args):
        self.made = True

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        top[0].data[:] = self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1


class Phase(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class Failing(Times):
    def setup(self, bottom, top):
        super().setup(bottom, top)
        if self.factor == 1:
            raise ValueError('one is not enough')

    def forward(self, bottom, top):
        raise KeyError('lost')


class EuclideanLoss(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff = bottom[0].data - bottom[1].data
        top[0].data[...] = (self.diff ** 2).sum() / bottom[0].num / 2

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.diff / bottom[i].num
"""


@pytest.fixture(autouse=True)
def modules_on_the_path(tmp_path, monkeypatch):
    (tmp_path / 'user_layers.py').write_text(MODULE)
    (tmp_path / 'broken_layers.py').write_text('import nothing_of_this_name')
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop('user_layers', None)


def python(cls, bottom='x', top='y', text='', module='user_layers', extra=''):
    ends = ''.join(f'bottom: "{b}" ' for b in bottom.split()) + ''.join(f'top: "{t}" ' for t in top.split())
    return f'''layer {{ name: "{cls.lower()}_{top}" type: "Python" {ends} {extra}
        python_param {{ module: "{module}" layer: "{cls}" param_str: "{text}" }} }}\n'''


def test_data_goes_through_a_chain_and_diffs_back():
    net = make_net(python('Times') + python('Times', 'y', 'z', '3'), {'x': (2, 3)})
    net.blobs['x'].data[...] = 8
    assert (net.forward()['z'] == 240).all()
    net.blobs['z'].diff[...] = 7
    net.backward()
    assert (net.blobs['x'].diff == 210).all()


def test_reshape_is_called_before_each_forward():
    net = make_net(python('Times'), {'x': (2, 3)})
    net.blobs['x'].reshape(4, 1, 5)
    net.forward()
    assert net.blobs['y'].shape == (4, 1, 5)
    assert net.layers[1].shapes == [(2, 3), (4, 1, 5)]


def test_the_net_shows_the_users_object():
    net = make_net(python('Times', text='4'), {'x': (2, 3)})
    assert net.layers[1].describe('factor ') == 'factor 4.0'
    net.layers[1].factor = 2
    net.blobs['x'].data[...] = 1
    assert (net.forward()['y'] == 2).all()
    assert net.layers[1].type == 'Python'
    assert isinstance(net.layers[1].user, caffe.Layer)
    assert not hasattr(net.layers[1], 'missing')


def test_own_attributes_do_not_disturb_the_net():
    net = make_net(python('Times'), {'x': (2, 3)})
    assert net.layers[1].name == 'times_y'
    assert list(net.layer_dict) == ['x', 'times_y']


def test_parameters_are_shown_saved_and_loaded(tmp_path):
    net = make_net(python('Learned', ''), {})
    net.forward()
    net.backward()
    values = net.params['learned_y'][0]
    assert (values.data[0], values.diff[0]) == (0, 1)
    values.data[0] += 3
    assert net.forward()['y'][0] == 3
    net.save(str(tmp_path / 'w.caffemodel'))
    other = make_net(python('Learned', ''), {})
    other.copy_from(str(tmp_path / 'w.caffemodel'))
    assert other.forward()['y'][0] == 3


@pytest.mark.parametrize('phase', [caffe.TRAIN, caffe.TEST])
def test_the_phase_is_known(phase):
    assert make_net(python('Phase', ''), {}, phase).forward()['y'] == phase


def test_a_python_loss_equals_the_built_in_one():
    own = make_net(python('EuclideanLoss', 'a b', 'y', extra='loss_weight: 1'), {'a': (4, 3), 'b': (4, 3)})
    built_in = make_net(
        'layer { name: "l" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "y" }', {'a': (4, 3), 'b': (4, 3)}
    )
    for net in (own, built_in):
        net.forward()
        net.backward()
    np.testing.assert_allclose(own.blobs['y'].data[0], built_in.blobs['y'].data, rtol=1e-6)
    for name in 'ab':
        np.testing.assert_allclose(own.blobs[name].diff, built_in.blobs[name].diff, rtol=1e-6)


def test_failures_name_the_layer_and_keep_the_cause():
    with pytest.raises(caffe.CaffeError, match="'failing_y' .*setup failed: ValueError: one is not enough") as caught:
        make_net(python('Failing', text='1'), {'x': (1,)})
    assert isinstance(caught.value.__cause__, ValueError)
    net = make_net(python('Failing', text='2'), {'x': (1,)})
    with pytest.raises(RuntimeError, match="'failing_y' .*forward failed: KeyError: 'lost'"):
        net.forward()


@pytest.mark.parametrize(
    'module, cls, message',
    [
        ('no_such_module', 'A', "ModuleNotFoundError: No module named 'no_such_module'"),
        ('user_layers', 'Missing', "AttributeError: .*'Missing'"),
        ('broken_layers', 'A', "No module named 'nothing_of_this_name'"),
        ('', 'A', 'has no module'),
    ],
)
def test_what_cannot_be_imported_is_named(module, cls, message):
    with pytest.raises(caffe.CaffeError, match=f"layer '{cls.lower()}_y' \\(Python\\): .*{message}"):
        make_net(python(cls, module=module), {'x': (1,)})
