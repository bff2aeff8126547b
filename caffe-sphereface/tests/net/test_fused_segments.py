"""Folded inference: the same numbers, and nothing that a user can look at or change goes unnoticed."""

import numpy as np
import pytest

import caffe
from caffe.net import fused_segments
from caffe.net.fused_groups import Group
from caffe.net.fused_segments import Segment

NET = """
name: "folded"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: %(channels)d dim: 9 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: %(stride)d group: %(group)d bias_term: %(bias)s
                      weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm"
  batch_norm_param { use_global_stats: true eps: 0.01 } }
layer { name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true } }
layer { name: "relu" type: "%(relu)s" bottom: "norm" top: "relu" %(slope)s }
layer { name: "conv2" type: "Convolution" bottom: "relu" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
DEFAULTS = dict(channels=4, stride=1, group=1, bias='true', relu='PReLU', slope='')


@pytest.fixture(params=['groups', 'segments'])
def folded(monkeypatch, request):
    """Whether each group ran folded, in order, alone or within a segment."""
    runs = []
    run, stride = Group.run, Segment.run

    def run_segment(self):
        ran = request.param == 'segments' and stride(self)
        runs.extend([True] * len(self.groups) if ran else [])
        return ran

    monkeypatch.setattr(Group, 'run', lambda self: runs.append(run(self)) or runs[-1])
    monkeypatch.setattr(Segment, 'run', run_segment)
    return runs


def make(tmp_path, **changes):
    path = tmp_path / 'net.prototxt'
    path.write_text(NET % {**DEFAULTS, **changes})
    caffe.set_random_seed(3)
    net = caffe.Net(str(path), caffe.TEST)
    fill(net)
    return net


def fill(net):
    """Statistics, factors and an input that are not trivial."""
    rng = np.random.default_rng(0)
    mean, variance, weight = (blob.data for blob in net.params['norm'])
    mean[...], variance[...], weight[...] = rng.normal(size=8), rng.uniform(0.5, 2, 8), 0.7
    for blob in net.params['scale']:
        blob.data[...] = rng.normal(size=8)
    net.blobs['data'].data[...] = rng.normal(size=net.blobs['data'].data.shape)


def reference(net):
    """Copies of all blobs, computed layer by layer."""
    fused, net.fused = net.fused, {}
    net.forward()
    net.fused = fused
    return {name: blob.data.copy() for name, blob in net.blobs.items()}


def warm(net, folded):
    net.forward()
    net.forward()
    folded.clear()
    net.forward()
    assert folded == [True, True]


VARIANTS = [
    dict(),
    dict(stride=2),
    dict(group=4),
    dict(channels=8, group=8),
    dict(bias='false'),
    dict(channels=1),
    dict(relu='ReLU'),
    dict(relu='ReLU', slope='relu_param { negative_slope: 0.1 }'),
]


@pytest.mark.parametrize('changes', VARIANTS, ids=str)
def test_every_blob_is_what_single_layers_give(tmp_path, folded, changes):
    net = make(tmp_path, **changes)
    expected = reference(net)
    warm(net, folded)
    for name, blob in net.blobs.items():
        np.testing.assert_allclose(blob.data, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_hidden_blobs_are_of_the_last_forward_whatever_changes_afterwards(tmp_path, folded):
    net = make(tmp_path)
    expected = reference(net)
    warm(net, folded)
    net.blobs['data'].data[...] = 5
    net.params['conv'][0].data[...] *= 2
    net.params['norm'][0].data[...] = 9
    for name in ('conv', 'norm', 'relu', 'fc'):
        np.testing.assert_allclose(net.blobs[name].data, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_held_view_of_the_input_does_not_reach_hidden_blobs(tmp_path, folded):
    net = make(tmp_path, channels=1)
    expected = reference(net)
    view = net.blobs['data'].data
    warm(net, folded)
    view[...] = 5
    np.testing.assert_allclose(net.blobs['conv'].data, expected['conv'], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    'layer, index', [('conv', 0), ('conv', 1), ('norm', 0), ('norm', 2), ('scale', 1), ('relu', 0)]
)
def test_edits_in_place_count(tmp_path, folded, layer, index):
    net = make(tmp_path)
    warm(net, folded)
    before = net.blobs['fc'].data.copy()
    net.params[layer][index].data[...] += 0.5
    expected = reference(net)['fc']
    assert np.abs(expected - before).max() > 1e-3
    for _ in range(3):
        np.testing.assert_allclose(net.forward()['fc'], expected, rtol=1e-5, atol=1e-5)
    assert folded[-2:] == [True, True]


def test_a_held_view_of_a_parameter_counts_at_every_forward(tmp_path, folded):
    net = make(tmp_path)
    weight = net.params['conv'][0].data
    for factor in (1, 2, 3, 4):
        weight *= factor
        np.testing.assert_allclose(net.forward()['fc'], reference(net)['fc'], rtol=1e-5, atol=1e-5)
    assert folded == [False, False, False, True, False, True, False, True]


def test_a_held_view_of_a_hidden_blob_follows(tmp_path, folded):
    net = make(tmp_path)
    warm(net, folded)
    view = net.blobs['conv'].data
    net.blobs['data'].data[...] = 2
    net.forward()
    seen = view.copy()  # the reference writes to the view, too
    np.testing.assert_allclose(seen, reference(net)['conv'], rtol=1e-5, atol=1e-5)


def test_weights_from_a_file_and_of_another_net_count(tmp_path, folded):
    net, other = make(tmp_path), make(tmp_path)
    other.params['conv'][0].data[...] *= 3
    other.blobs['data'].data[...] = net.blobs['data'].data
    expected = reference(other)['fc']
    other.save(str(tmp_path / 'other.caffemodel'))
    warm(net, folded)
    net.copy_from(str(tmp_path / 'other.caffemodel'))
    np.testing.assert_allclose(net.forward()['fc'], expected, rtol=1e-5, atol=1e-5)
    third = make(tmp_path)
    warm(third, folded)
    third.share_with(other)
    np.testing.assert_allclose(third.forward()['fc'], expected, rtol=1e-5, atol=1e-5)


def test_other_sizes_of_input(tmp_path, folded):
    net = make(tmp_path)
    warm(net, folded)
    net.blobs['data'].reshape(5, 4, 9, 8)
    net.blobs['data'].data[...] = 1
    expected = reference(net)['fc']
    for _ in range(3):
        np.testing.assert_allclose(net.forward()['fc'], expected, rtol=1e-5, atol=1e-5)
    assert net.blobs['norm'].data.shape == (5, 8, 9, 8)


def test_partial_forward_from_a_hidden_blob(tmp_path, folded):
    net = make(tmp_path)
    warm(net, folded)
    expected = reference(net)
    net.forward()
    net.blobs['norm'].data[...] = expected['norm'] * 2
    net.forward(start='relu')
    np.testing.assert_allclose(net.blobs['relu'].data, expected['relu'] * 2, rtol=1e-5, atol=1e-5)


def test_hooks_see_every_layer(tmp_path, folded):
    net = make(tmp_path)
    warm(net, folded)
    seen = []
    net.after_forward(lambda i: seen.append(i))
    net.forward()
    assert seen == list(range(len(net.layers))) and folded == [True, True]


def test_nets_that_train_never_fold(tmp_path, folded):
    text = NET % DEFAULTS + 'layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "fc" top: "loss" }'
    (tmp_path / 'net.prototxt').write_text(text)
    net = caffe.Net(str(tmp_path / 'net.prototxt'), caffe.TEST)
    net.forward()
    assert not folded


def test_an_update_of_shared_weights_is_seen_by_the_test_net(tmp_path, folded):
    body = NET % dict(DEFAULTS)
    body += """layer { name: "label" type: "DummyData" top: "label" include { phase: TRAIN }
                       dummy_data_param { shape { dim: 2 dim: 3 } } }
               layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "label" top: "loss"
                       include { phase: TRAIN } }"""
    (tmp_path / 'net.prototxt').write_text(body)
    (tmp_path / 'solver.prototxt').write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 9 '
        f'test_iter: 1 test_interval: 1000 snapshot_prefix: "{tmp_path}/run"'
    )
    solver = caffe.SGDSolver(str(tmp_path / 'solver.prototxt'))
    test = solver.test_nets[0]
    test.share_with(solver.net)
    for net in (solver.net, test):
        fill(net)
    warm(test, folded)
    before = test.blobs['fc'].data.copy()
    hidden = test.blobs['norm'].data.copy()
    test.forward()
    solver.step(2)
    np.testing.assert_allclose(test.blobs['norm'].data, hidden, rtol=1e-5, atol=1e-5)
    after = test.forward()['fc'].copy()
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after, reference(test)['fc'], rtol=1e-5, atol=1e-5)


def test_a_change_of_precision_counts_in_folded_weights(tmp_path, folded):
    net = make(tmp_path)
    warm(net, folded)
    exact = net.forward()['fc'].copy()
    caffe.set_precision('bf16')
    try:
        np.testing.assert_array_equal(net.forward()['fc'], reference(net)['fc'])
        assert folded[-2:] == [False, False]
        warm(net, folded)
        rounded = net.forward()['fc'].copy()
    finally:
        caffe.set_precision('fp32')
    assert 1e-5 < np.abs(rounded - exact).max() / np.abs(exact).max() < 0.03
    np.testing.assert_allclose(net.forward()['fc'], exact, rtol=1e-5, atol=1e-5)
    warm(net, folded)
    np.testing.assert_allclose(net.forward()['fc'], exact, rtol=1e-5, atol=1e-5)


SUMS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 dim: 7 dim: 6 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 %s } }
layer { name: "a_relu" type: "PReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 %s } }
layer { name: "b_relu" type: "ReLU" bottom: "b" top: "b" }
layer { name: "twice" type: "Eltwise" bottom: "b" bottom: "b" top: "twice" eltwise_param { coeff: 1 coeff: -3 } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "twice" bottom: "data" top: "sum" %s }
layer { name: "c" type: "Convolution" bottom: "sum" top: "c"
  convolution_param { num_output: 4 kernel_size: 1 %s } }
layer { name: "c_relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "d" type: "Convolution" bottom: "a" top: "d"
  convolution_param { num_output: 2 kernel_size: 1 %s } }
layer { name: "pool" type: "Pooling" bottom: "c" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
"""
FILLER = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" }'


def make_sums(tmp_path, operation='SUM'):
    path = tmp_path / 'sums.prototxt'
    path.write_text(SUMS % (FILLER, FILLER, f'eltwise_param {{ operation: {operation} }}', FILLER, FILLER))
    caffe.set_random_seed(3)
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs['data'].data[...] = np.random.default_rng(0).normal(size=net.blobs['data'].data.shape)
    return net


def segment_of(net):
    return next(each for fused in net.fused.values() for each in fused if isinstance(each, Segment))


@pytest.mark.parametrize('operation', ['SUM', 'PROD', 'MAX'])
def test_sums_and_splits_run_within_a_segment(tmp_path, operation):
    net = make_sums(tmp_path, operation)
    expected = reference(net)
    for _ in range(4):
        net.forward()
    segment = segment_of(net)
    assert len(segment.groups) == 4 and segment.run()
    for name in ('pool', 'd', 'twice', 'sum', 'a', 'b', 'c', 'data'):
        np.testing.assert_allclose(net.blobs[name].data, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_blob_from_before_that_a_segment_changes_in_place_shows_it(tmp_path):
    convolution = f'convolution_param {{ num_output: 4 kernel_size: 3 {FILLER} }}'
    (tmp_path / 'net.prototxt').write_text(f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: 9 dim: 8 }} }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "data" top: "up" {convolution} }}
layer {{ name: "relu" type: "ReLU" bottom: "up" top: "up" }}
layer {{ name: "a" type: "Convolution" bottom: "up" top: "a" {convolution} }}
layer {{ name: "b" type: "Convolution" bottom: "a" top: "b" {convolution} }}""")
    net = caffe.Net(str(tmp_path / 'net.prototxt'), caffe.TEST)
    net.blobs['data'].data[...] = np.random.default_rng(0).normal(size=(2, 3, 9, 8))
    net.forward(end='relu')
    expected = net.blobs['up'].data.copy()
    for _ in range(3):
        net.forward()
    np.testing.assert_allclose(net.blobs['up'].data, expected, atol=1e-5)


def test_a_segment_that_was_read_leaves_the_work_to_its_groups(tmp_path):
    net = make_sums(tmp_path)
    for _ in range(4):
        net.forward()
    assert segment_of(net).run()
    assert net.blobs['sum'].data.any()
    assert not segment_of(net).run()
    net.blobs['data'].data[...] *= 2
    net.forward()
    np.testing.assert_allclose(net.blobs['pool'].data, reference(net)['pool'], rtol=1e-5, atol=1e-5)


def test_edited_parameters_do_not_end_a_segment(tmp_path):
    net = make_sums(tmp_path)
    for _ in range(4):
        net.forward()
    before = reference(net)['sum']
    for _ in range(3):
        net.forward()
    net.params['b'][0].data[...] *= 2
    np.testing.assert_allclose(net.blobs['sum'].data, before, rtol=1e-5, atol=1e-5)
    for _ in range(3):
        np.testing.assert_allclose(net.forward()['pool'], reference(net)['pool'], rtol=1e-5, atol=1e-5)
    assert segment_of(net).run()


JOINED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 5 dim: 3 dim: 13 dim: 12 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 %(filler)s } }
layer { name: "a_relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "pool" type: "Pooling" bottom: "a" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" lrn_param { local_size: 3 alpha: 0.5 } }
layer { name: "b" type: "Convolution" bottom: "norm" top: "b"
  convolution_param { num_output: 2 kernel_size: 1 %(filler)s } }
layer { name: "c" type: "Convolution" bottom: "norm" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 %(filler)s } }
layer { name: "sum" type: "Eltwise" bottom: "c" bottom: "norm" top: "sum" }
layer { name: "sum_relu" type: "PReLU" bottom: "sum" top: "sum" }
layer { name: "mean" type: "Pooling" bottom: "norm" top: "mean"
  pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "join" type: "Concat" bottom: "b" bottom: "sum" bottom: "mean" top: "join" }
layer { name: "last" type: "Pooling" bottom: "join" top: "last" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "last" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def joined(tmp_path):
    path = tmp_path / 'joined.prototxt'
    path.write_text(JOINED % {'filler': FILLER})
    caffe.set_random_seed(3)
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs['data'].data[...] = np.random.default_rng(0).normal(size=net.blobs['data'].data.shape)
    return net


@pytest.mark.parametrize('most, pictures', [(1 << 20, None), (7000, 2), (1, 1)])
def test_large_batches_go_through_a_segment_in_chunks(joined, monkeypatch, most, pictures):
    """The largest blob has 2496 bytes per picture; chunks are as even as they can be."""
    monkeypatch.setattr(fused_segments, 'MOST_BYTES', most)
    expected = reference(joined)
    for _ in range(4):
        joined.forward()
    segment = segment_of(joined)
    assert len(segment.groups) == 3 and segment.run() and segment._pictures == pictures
    for name in ('fc', 'last', 'join', 'mean', 'sum', 'c', 'norm', 'a'):
        np.testing.assert_allclose(joined.blobs[name].data, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_chunks_follow_edits_and_other_batch_sizes(joined, monkeypatch):
    monkeypatch.setattr(fused_segments, 'MOST_BYTES', 7000)
    for count in (5, 7, 2, 5):
        joined.blobs['data'].reshape(count, 3, 13, 12)
        joined.blobs['data'].data[...] = np.random.default_rng(count).normal(size=(count, 3, 13, 12))
        for _ in range(4):
            joined.params['c'][0].data[...] *= 1.1
            for _ in range(4):
                result = joined.forward()['fc'].copy()
            np.testing.assert_allclose(result, reference(joined)['fc'], rtol=1e-5, atol=1e-5)
    assert segment_of(joined).run()


def test_what_was_not_computed_takes_no_memory(joined):
    for _ in range(4):
        joined.forward()
    assert segment_of(joined).run()
    assert not any(blob.data_memory._tensor is not None for blob in segment_of(joined).hidden)


def test_a_batch_of_another_size_goes_through_a_segment_that_starts_with_a_layer_without_weights(tmp_path):
    (tmp_path / 'net.prototxt').write_text("""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 8 dim: 3 dim: 8 dim: 8 } } }
layer { name: "first" type: "ReLU" bottom: "data" top: "first" }
layer { name: "conv1" type: "Convolution" bottom: "first" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv1" top: "relu" }
layer { name: "conv2" type: "Convolution" bottom: "relu" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
""")
    net, fresh = (caffe.Net(str(tmp_path / 'net.prototxt'), caffe.TEST) for _ in range(2))
    fresh.share_with(net)
    values = np.random.default_rng(0).normal(size=(8, 3, 8, 8))
    for count in (8, 8, 8, 6, 6, 6, 8):
        net.blobs['data'].reshape(count, 3, 8, 8)
        net.blobs['data'].data[...] = values[:count]
        found = net.forward()['conv2']
        assert found.shape == (count, 4, 4, 4)
        fresh.blobs['data'].reshape(count, 3, 8, 8)
        fresh.blobs['data'].data[...] = values[:count]
        fresh.forward(end='first')  # layers one by one are what a net is compared with
        for name in ('conv1', 'relu', 'conv2'):
            fresh.forward(start=name, end=name)
        np.testing.assert_allclose(found, fresh.blobs['conv2'].data, atol=1e-5)
