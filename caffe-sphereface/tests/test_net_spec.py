"""Networks written as Python."""

from operator import attrgetter

import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2


def lenet(batch=4):
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[dict(dim=[batch, 1, 12, 12]), dict(dim=[batch])], ntop=2, transform_param=dict(scale=1 / 255)
    )
    n.conv1 = L.Convolution(
        n.data, kernel_size=5, num_output=4, weight_filler=dict(type='xavier'), param=[dict(lr_mult=1), dict(lr_mult=2)]
    )
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool1, num_output=3)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.ip1, n.label, loss_weight=2, include=dict(phase=caffe.TRAIN))
    return n


def test_a_written_net_is_what_it_says():
    net = lenet().to_proto()
    assert [(layer.name, layer.type) for layer in net.layer] == [
        ('data', 'DummyData'),
        ('conv1', 'Convolution'),
        ('pool1', 'Pooling'),
        ('ip1', 'InnerProduct'),
        ('relu1', 'ReLU'),
        ('loss', 'SoftmaxWithLoss'),
    ]
    data, conv, pool, ip, relu, loss = net.layer
    assert list(data.top) == ['data', 'label'] and [list(s.dim) for s in data.dummy_data_param.shape][1] == [4]
    assert data.transform_param.scale == pytest.approx(1 / 255)
    assert [spec.lr_mult for spec in conv.param] == [1, 2] and list(conv.convolution_param.kernel_size) == [5]
    assert conv.convolution_param.weight_filler.type == 'xavier'
    assert pool.pooling_param.pool == caffe_pb2.PoolingParameter.MAX
    assert list(relu.bottom) == list(relu.top) == ['ip1']
    assert list(loss.loss_weight) == [2] and loss.include[0].phase == caffe.TRAIN


def test_a_written_net_runs(tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(str(lenet().to_proto()))
    net = caffe.Net(str(path), caffe.TRAIN)
    net.forward()
    net.backward()
    assert net.blobs['conv1'].shape == (4, 4, 8, 8)


def test_names_are_made_up_where_missing():
    data = L.Input(shape=dict(dim=[1, 2]))
    net = caffe.to_proto(L.ReLU(L.ReLU(data)), L.Sigmoid(data))
    assert [layer.name for layer in net.layer] == ['Input1', 'ReLU1', 'ReLU2', 'Sigmoid1']
    assert [list(layer.bottom) for layer in net.layer] == [[], ['Input1'], ['ReLU1'], ['Input1']]
    assert L.ReLU(data).to_proto() == caffe.to_proto(L.ReLU(data))


def test_layers_without_tops():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 2]))
    n.silence = L.Silence(n.data, ntop=0)
    silent = n.to_proto().layer[1]
    assert silent.name == 'silence' and not silent.top and list(silent.bottom) == ['data']


def test_a_spec_is_a_dictionary_of_tops():
    n = lenet()
    assert n.keys() == ['data', 'label', 'conv1', 'pool1', 'ip1', 'relu1', 'loss']
    assert n['conv1'] is n.conv1 is n.tops['conv1'] and n.vals()[2] is n.conv1
    n.update('conv1', dict(num_output=9, name='renamed'))
    assert n.to_proto().layer[1].convolution_param.num_output == 9
    assert n.to_proto().layer[1].name == 'renamed'
    n['other'] = L.ReLU(n.conv1)
    del n.loss, n['relu1'], n['other']
    assert len(n.to_proto().layer) == 4
    with pytest.raises(AttributeError, match="no top 'loss'"):
        attrgetter('loss')(n)


def test_what_cannot_be_is_named():
    n = lenet()
    with pytest.raises(TypeError, match=r"^Convolution input 0 is not a Top \(type is <class 'str'>\)$"):
        L.Convolution('data', num_output=1)
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"):
        L.Silence(L.DummyData(ntop=2), ntop=0)
    n.bad = L.Convolution(n.data, channels=3)
    with pytest.raises(caffe.CaffeError, match="'bad' \\(Convolution\\): channels=3 .*no such field"):
        n.to_proto()
    n.bad = L.Convolution(n.data, num_output='many')
    with pytest.raises(caffe.CaffeError, match="num_output='many'"):
        n.to_proto()
    with pytest.raises(AttributeError, match='NoSuchParameter'):
        attrgetter('NoSuch.MAX')(P)


def test_layers_are_a_package_too():
    from caffe.layers import Convolution
    from caffe.layers.loss import accuracy
    from caffe.layers.support import registry

    assert isinstance(Convolution(L.Input(), num_output=1), caffe.net_spec.Top)
    assert accuracy.Accuracy is registry.layer_class('Accuracy')
    assert not hasattr(L, 'no_such_module')


def test_param_names():
    names = caffe.net_spec.param_name_dict()
    assert names['InnerProduct'] == 'inner_product' and names['Transformation'] == 'transform'
    assert names['MarginInnerProduct'] == 'margin_inner_product'


def test_assign_proto():
    layer = caffe_pb2.LayerParameter()
    caffe.net_spec.assign_proto(layer, 'convolution_param', dict(kernel_size=[3, 4], weight_filler=dict(std=2)))
    caffe.net_spec.assign_proto(layer, 'bottom', ['a', 'b'])
    assert list(layer.convolution_param.kernel_size) == [3, 4] and layer.convolution_param.weight_filler.std == 2
    assert list(layer.bottom) == ['a', 'b']
