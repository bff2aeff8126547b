"""What holds for layers of every family: in place, diffs that add up, memory that is shared."""

import numpy as np
import pytest
import torch

import caffe
from layer_case import by_name, layer, make_net, run

IN_PLACE = {
    'BatchNorm': 'batch_norm_param { use_global_stats: false }',
    'Scale': 'scale_param { filler { type: "gaussian" } bias_term: true }',
    'Bias': 'bias_param { filler { type: "gaussian" } }',
    'Dropout': '',
    'Softmax': '',
    'MVN': '',
    'Normalize': '',
}


@pytest.mark.parametrize('viewed', [False, True])
@pytest.mark.parametrize('kind', IN_PLACE)
def test_in_place_gives_what_a_copy_gives(kind, viewed):
    results = []
    for top in ('z', 'y'):
        net = make_net(
            by_name(layer('Power', 'x', 'y', 'power_param { scale: 2 shift: 1 }'), 'before')
            + layer(kind, 'y', top, IN_PLACE[kind]),
            {'x': (4, 5, 3, 2)},
            caffe.TRAIN,
        )
        # a view that somebody holds makes the blob copy into its memory
        views = [net.blobs[name].data for name in ('x', 'y')] if viewed else []
        caffe.set_random_seed(5)
        net.clear_param_diffs()
        net.forward()
        net.blobs[top].diff[...] = np.random.default_rng(0).standard_normal((4, 5, 3, 2))
        net.backward()
        results.append(
            [
                net.blobs[top].data.copy(),
                net.blobs['x'].diff.copy(),
                *(b.diff.copy() for b in net.params.get('layer', ())),
            ]
        )
        del views
    for separate, in_place in zip(*results):
        np.testing.assert_array_equal(in_place, separate)


def test_a_parameter_layer_learns_its_blob():
    net = make_net(
        layer('Parameter', '', 'p', 'parameter_param { shape { dim: 2 dim: 3 } }')
        + by_name(layer('Eltwise', 'p x', 'y', 'eltwise_param { operation: PROD }'), 'product'),
        {'x': (2, 3)},
    )
    net.params['layer'][0].data[...] = 2
    dy = run(net)['y']
    np.testing.assert_allclose(net.blobs['y'].data, 2 * net.blobs['x'].data)
    np.testing.assert_allclose(net.params['layer'][0].diff, dy * net.blobs['x'].data, rtol=1e-6)


def test_weight_diffs_add_up_and_follow_views():
    text = layer('InnerProduct', extra='inner_product_param { num_output: 3 weight_filler { type: "gaussian" } }')
    net = make_net(text, {'x': (4, 5)})
    dy = run(net)['y']
    once = dy.T @ net.blobs['x'].data
    weight = net.params['layer'][0]
    net.backward()
    np.testing.assert_allclose(weight.diff, 2 * once, rtol=1e-5, atol=1e-6)
    view = weight.diff
    net.backward()
    np.testing.assert_allclose(view, 3 * once, rtol=1e-5, atol=1e-5)
    net.clear_param_diffs()
    assert not view.any()
    del view
    weight.lend_grad(torch.ones(3, 5))
    net.backward()
    np.testing.assert_allclose(weight.diff, 1 + once, rtol=1e-5, atol=1e-5)


def test_writing_to_one_blob_leaves_those_that_were_given_its_values():
    net = make_net(
        layer('Slice', 'x', 'p q', 'slice_param { axis: 0 }') + by_name(layer('Eltwise', 'p q', 'y'), 'sum'),
        {'x': (2, 3)},
    )
    dy = run(net)['y']
    before = net.blobs['x'].data.copy()
    net.blobs['p'].data[...] = 7
    np.testing.assert_array_equal(net.blobs['x'].data, before)
    net.blobs['p'].diff[...] = 7
    np.testing.assert_array_equal(net.blobs['q'].diff, dy)
    np.testing.assert_array_equal(net.blobs['y'].diff, dy)


@pytest.mark.parametrize('kind', ['BatchNorm', 'Scale', 'PReLU', 'LRN'])
def test_nets_without_a_loss_keep_nothing_for_backward(kind):
    param = make_net(layer(kind), {'x': (2, 3, 4, 4)}).param
    param.force_backward = False
    net = caffe.Net(param, caffe.TEST)
    net.forward()
    done = net.layer_dict['layer']
    assert all(getattr(done, kept, None) is None for kept in done.kept)
    net.backward()
