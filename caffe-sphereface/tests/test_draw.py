"""Networks drawn as graphs."""

import pytest

import caffe
from caffe import draw
from caffe import layers as L

pydot = pytest.importorskip('pydot', reason='drawing needs pydot (the extra "draw")')


@pytest.fixture
def net():
    n = caffe.NetSpec()
    n.data = L.DummyData(shape=dict(dim=[4, 3, 8, 8]))
    n.conv = L.Convolution(n.data, kernel_h=3, kernel_w=5, stride=2, num_output=6, param=dict(lr_mult=3))
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.conv, kernel_size=2, pool=1)
    n.odd = L.Dropout(n.pool, name='a{b}"c', include=dict(phase=caffe.TRAIN))
    return n.to_proto()


def test_the_graph_has_layers_blobs_and_edges(net):
    graph = draw.get_pydot_graph(net, 'LR', display_lrm=True)
    nodes = {node.get_name(): node for node in graph.get_nodes()}
    assert set(nodes) == {
        '"data_DummyData"',
        '"conv_Convolution"',
        '"relu_ReLU"',
        '"pool_Pooling"',
        '"a{b}\\"c_Dropout"',
        '"data_blob"',
        '"conv_blob"',
        '"pool_blob"',
        '"odd_blob"',
    }
    assert (
        nodes['"conv_Convolution"'].get_label()
        == '"conv\\n(Convolution)\\nkernel size: 3x5\\nstride: 2\\npad: 0\\nlr mult: 3"'
    )
    assert '(AVE Pooling)' in nodes['"pool_Pooling"'].get_label()
    assert nodes['"a{b}\\"c_Dropout"'].get_label().startswith('"a\\{b\\}\\"c')
    edges = [(edge.get_source(), edge.get_destination(), edge.get_label()) for edge in graph.get_edges()]
    assert len(edges) == 9 and ('"conv_Convolution"', '"conv_blob"', '"6"') in edges


@pytest.mark.parametrize('kind, outputs', [('DepthwiseConvolution', '6'), ('ConvolutionDepthwise', '')])
def test_depthwise_layers_of_forks_are_labelled_as_convolutions(net, kind, outputs):
    net.layer[1].type = kind
    assert draw.get_layer_label(net.layer[1], 'LR') == f'"conv\\n({kind})\\nkernel size: 3x5\\nstride: 2\\npad: 0"'
    assert draw.get_edge_label(net.layer[1]) == outputs


def test_a_phase_leaves_out_the_other(net):
    names = [node.get_name() for node in draw.get_pydot_graph(net, 'TB', phase=caffe.TEST).get_nodes()]
    assert len(names) == 7 and not any('Dropout' in name for name in names)


def test_a_dot_file_reads_back(net, tmp_path):
    draw.draw_net_to_file(net, str(tmp_path / 'net.dot'), 'BT')
    (graph,) = pydot.graph_from_dot_file(str(tmp_path / 'net.dot'))
    assert graph.get_rankdir() == 'BT' and len(graph.get_edges()) == 9


def test_a_missing_graphviz_is_named(net, tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(caffe.CaffeError, match='Graphviz'):
        draw.draw_net_to_file(net, str(tmp_path / 'net.png'))
    assert not (tmp_path / 'net.png').exists()
