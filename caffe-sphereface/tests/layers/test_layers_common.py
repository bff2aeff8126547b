"""Layers that join, part, scale, normalise, reshape and select: against torch or by hand; in place too."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import caffe
from layer_case import layer, make_net, run


def by_name(text, name):
    """The layer text under another name."""
    return text.replace('name: "layer"', f'name: "{name}"')


def output(text, shapes, values, name='y'):
    """One top of a layer for the given values of its inputs."""
    net = make_net(text, shapes)
    for blob, array in values.items():
        net.blobs[blob].data[...] = array
    net.forward()
    return net.blobs[name].data


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


@pytest.mark.parametrize('across, want', [('false', 0), ('true', [[-2, 0, 2], [-1, 1, 0]])])
def test_mvn_gives_four_axes_as_genuine_caffe_does(across, want):
    extra = f'mvn_param {{ across_channels: {across} normalize_variance: false }}'
    net = make_net(layer('MVN', extra=extra), {'x': (2, 3)})
    net.blobs['x'].data[...] = [[1, 3, 5], [1, 3, 2]]
    net.forward()
    assert net.blobs['y'].shape == (2, 3, 1, 1)
    np.testing.assert_allclose(net.blobs['y'].data[:, :, 0, 0], np.broadcast_to(want, (2, 3)), atol=1e-6)


def test_eltwise_values():
    shapes, values = {'a': (3,), 'b': (3,), 'c': (3,)}, {'a': [1, 5, 2], 'b': [2, -1, 2], 'c': [3, 4, -2]}
    assert output(layer('Eltwise', 'a b c'), shapes, values).tolist() == [6, 8, 2]
    weighted = 'eltwise_param { coeff: 1 coeff: -1 coeff: 2 }'
    assert output(layer('Eltwise', 'a b c', extra=weighted), shapes, values).tolist() == [5, 14, -4]
    assert output(layer('Eltwise', 'a b c', extra='eltwise_param { operation: PROD }'), shapes, values).tolist() == [
        6,
        -20,
        -8,
    ]
    assert output(layer('Eltwise', 'a b c', extra='eltwise_param { operation: MAX }'), shapes, values).tolist() == [
        3,
        5,
        2,
    ]


def test_eltwise_max_of_equal_values_gives_the_diff_to_one_bottom():
    net = make_net(layer('Eltwise', 'a b c', extra='eltwise_param { operation: MAX }'), {n: (2,) for n in 'abc'})
    for name in 'abc':
        net.blobs[name].data[...] = 1
    net.forward()
    net.blobs['y'].diff[...] = [3, 4]
    net.backward()
    assert [net.blobs[name].diff.tolist() for name in 'abc'] == [[0, 0], [3, 4], [0, 0]]


@pytest.mark.parametrize('axis', [0, 1, 2, -1])
def test_concat_undoes_slice(axis):
    net = make_net(
        layer('Slice', 'x', 'p q r', f'slice_param {{ axis: {axis} slice_point: 1 slice_point: 3 }}')
        + by_name(layer('Concat', 'p q r', 'y', f'concat_param {{ axis: {axis} }}'), 'join'),
        {'x': (4, 5, 6)},
    )
    diffs = run(net)
    np.testing.assert_array_equal(net.blobs['y'].data, net.blobs['x'].data)
    np.testing.assert_array_equal(net.blobs['x'].diff, diffs['y'])
    assert net.blobs['q'].shape[axis] == 2


def test_slice_without_points_cuts_equal_parts():
    net = make_net(layer('Slice', 'x', 'p q'), {'x': (2, 6, 3)})
    assert [net.blobs[n].shape for n in 'pq'] == [(2, 3, 3)] * 2


def test_old_axis_fields():
    parted = make_net(layer('Slice', 'x', 'p q', 'slice_param { slice_dim: 0 }'), {'x': (2, 6)})
    joined = make_net(layer('Concat', 'a b', 'y', 'concat_param { concat_dim: 0 }'), {'a': (2, 6), 'b': (1, 6)})
    assert parted.blobs['p'].shape == (1, 6)
    assert joined.blobs['y'].shape == (3, 6)


@pytest.mark.parametrize('text', [layer('Concat', 'x', 'y'), layer('Slice', 'x', 'y')])
def test_one_part_shares_its_memory(text):
    net = make_net(text, {'x': (2, 3)})
    diff = run(net)['y']
    assert np.shares_memory(net.blobs['x'].data, net.blobs['y'].data)
    np.testing.assert_array_equal(net.blobs['x'].diff, diff)


def test_split_shares_data_and_adds_diffs():
    net = make_net(
        ''.join(by_name(layer('Power', 'x', f'y{i}', f'power_param {{ scale: {i} }}'), f'p{i}') for i in (1, 2, 3)),
        {'x': (2, 3)},
    )
    diffs = run(net)
    parts = [name for name in net.blobs if name.startswith('x_')]
    assert len(parts) == 3
    assert all(np.shares_memory(net.blobs[name].data, net.blobs['x'].data) for name in parts)
    np.testing.assert_allclose(net.blobs['x'].diff, diffs['y1'] + 2 * diffs['y2'] + 3 * diffs['y3'], rtol=1e-6)


def test_silence_leaves_no_output_and_no_gradient():
    net = make_net(layer('Silence', 'x', ''), {'x': (2, 3)})
    assert list(net.outputs) == []
    net.blobs['x'].diff[...] = 7
    net.forward()
    net.backward()
    assert not net.blobs['x'].diff.any()


def batch_norm(extra=''):
    return layer('BatchNorm', extra=f'batch_norm_param {{ eps: 0.001 moving_average_fraction: 0.9 {extra} }}')


def test_batch_norm_in_training_and_its_running_sums():
    net = make_net(batch_norm(), {'x': (4, 3, 5, 2)}, caffe.TRAIN)
    x = torch.tensor(net.blobs['x'].data, requires_grad=True)
    dy = run(net)['y']
    y = F.batch_norm(x, None, None, training=True, eps=0.001)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(net.blobs['y'].data, y.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.blobs['x'].diff, x.grad, rtol=1e-4, atol=1e-5)
    net.forward()
    mean, variance, weight = (b.data for b in net.params['layer'])
    by_channel = x.detach().transpose(0, 1).flatten(1)
    assert weight == pytest.approx(1.9)
    np.testing.assert_allclose(mean, 1.9 * by_channel.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, 1.9 * by_channel.var(1), rtol=1e-5)


@pytest.mark.parametrize('viewed', ['before', 'between'])
def test_batch_norm_goes_back_from_what_it_computed(viewed):
    """Genuine Caffe keeps the normalised values in a blob of its own."""
    diffs = []
    for write in (False, True):
        net = make_net(batch_norm(), {'x': (4, 3, 5, 2)}, caffe.TRAIN)
        view = net.blobs['y'].data if viewed == 'before' else None
        net.forward()
        view = net.blobs['y'].data if viewed == 'between' else view
        np.testing.assert_array_equal(view, net.blobs['y'].data)
        if write:
            view[...] = 7
            assert (net.blobs['y'].data == 7).all()
        net.blobs['y'].diff[...] = np.random.default_rng(3).normal(size=view.shape)
        net.backward()
        diffs.append(net.blobs['x'].diff.copy())
    np.testing.assert_array_equal(*diffs)


def test_batch_norm_in_testing_uses_the_running_statistics():
    for phase, extra in ((caffe.TEST, ''), (caffe.TRAIN, 'use_global_stats: true')):
        net = make_net(batch_norm(extra), {'x': (4, 2, 3)}, phase)
        for blob, values in zip(net.params['layer'], ([2, -4], [8, 18], [2])):
            blob.data[...] = values
        dy = run(net)['y']
        mean, variance = np.array([[1], [-2]]), np.array([[4], [9]]) + 0.001
        np.testing.assert_allclose(net.blobs['y'].data, (net.blobs['x'].data - mean) / np.sqrt(variance), rtol=1e-5)
        np.testing.assert_allclose(net.blobs['x'].diff, dy / np.sqrt(variance), rtol=1e-5)


def test_batch_norm_without_statistics_takes_them_as_zero():
    net = make_net(batch_norm(), {'x': (2, 3)}, caffe.TEST)
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data, net.blobs['x'].data / np.sqrt(0.001), rtol=1e-5)


def test_batch_norm_of_a_single_value_stays_finite():
    net = make_net(batch_norm(), {'x': (1, 3)}, caffe.TRAIN)
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data, 0, atol=1e-5)
    assert [np.isfinite(b.data).all() for b in net.params['layer']] == [True] * 3
    assert not net.params['layer'][1].data.any()


def test_batch_norm_statistics_have_no_learning_rate():
    net = make_net(batch_norm(), {'x': (2, 3)}, caffe.TRAIN)
    assert [spec.lr_mult for spec in net.layer_dict['layer'].param.param] == [0, 0, 0]


def test_scale_and_bias_default_to_one_and_zero():
    net = make_net(
        layer('Scale', 'x', 'y', 'scale_param { bias_term: true }') + by_name(layer('Bias', 'y', 'z'), 'b'),
        {'x': (2, 3, 4)},
    )
    net.forward()
    np.testing.assert_array_equal(net.blobs['z'].data, net.blobs['x'].data)
    assert [b.shape for b in net.params['layer']] == [(3,), (3,)]


@pytest.mark.parametrize(
    'text, shape',
    [('axis: 0 num_axes: 2', (2, 3)), ('axis: 1 num_axes: -1', (3, 4)), ('num_axes: 0', ()), ('axis: -1', (4,))],
)
def test_scale_shapes(text, shape):
    net = make_net(layer('Scale', extra=f'scale_param {{ {text} filler {{ type: "gaussian" }} }}'), {'x': (2, 3, 4)})
    net.forward()
    scale = net.params['layer'][0].data
    assert scale.shape == shape
    axis = {(2, 3): 0, (3, 4): 1, (): 0, (4,): 2}[shape]
    np.testing.assert_allclose(
        net.blobs['y'].data, net.blobs['x'].data * scale.reshape(*shape, *[1] * (3 - axis - len(shape))), rtol=1e-6
    )


def test_dropout_scales_what_it_keeps_in_training_only():
    for phase in (caffe.TRAIN, caffe.TEST):
        net = make_net(layer('Dropout', extra='dropout_param { dropout_ratio: 0.25 }'), {'x': (100, 100)}, phase)
        dy = run(net)['y']
        factor = net.blobs['y'].data / net.blobs['x'].data
        np.testing.assert_allclose(net.blobs['x'].diff, dy * factor, rtol=1e-5)
        if phase == caffe.TEST:
            assert (factor == 1).all()
        else:
            assert set(np.unique(factor.round(4))) == {0, np.float32(1 / 0.75).round(4)}
            assert (factor > 0).mean() == pytest.approx(0.75, abs=0.02)


def test_dropout_of_nothing_passes_everything_on():
    net = make_net(layer('Dropout', extra='dropout_param { dropout_ratio: 0 }'), {'x': (3, 4)}, caffe.TRAIN)
    dy = run(net)['y']
    assert (net.blobs['y'].data == net.blobs['x'].data).all()
    assert (net.blobs['x'].diff == dy).all()


def test_dropout_follows_the_seed():
    runs = []
    for seed in (1, 1, 2):
        net = make_net(layer('Dropout'), {'x': (10, 10)}, caffe.TRAIN)
        caffe.set_random_seed(seed)
        net.forward()
        runs.append(net.blobs['y'].data != 0)
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


@pytest.mark.parametrize(
    'kind, text, shape',
    [
        ('Flatten', '', (2, 60)),
        ('Flatten', 'flatten_param { axis: 0 end_axis: -2 }', (24, 5)),
        ('Flatten', 'flatten_param { axis: 2 end_axis: 2 }', (2, 3, 4, 5)),
        ('Reshape', 'reshape_param { shape { dim: 0 dim: 0 dim: -1 } }', (2, 3, 20)),
        ('Reshape', 'reshape_param { shape { dim: 6 dim: 20 } }', (6, 20)),
        ('Reshape', 'reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 1 }', None),
        ('Reshape', 'reshape_param { shape { dim: 3 dim: 1 } axis: 1 num_axes: 1 }', (2, 3, 1, 4, 5)),
        ('Reshape', 'reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }', (2, 3, 4, 5, 1)),
    ],
)
def test_reshaping_shares_memory(kind, text, shape):
    text = layer(kind, extra=text)
    if shape is None:
        with pytest.raises(caffe.CaffeError, match='cannot infer -1'):
            make_net(text, {'x': (2, 3, 4, 5)})
        return
    net = make_net(text, {'x': (2, 3, 4, 5)})
    dy = run(net)['y']
    assert net.blobs['y'].shape == shape
    assert np.shares_memory(net.blobs['y'].data, net.blobs['x'].data)
    assert np.shares_memory(net.blobs['y'].diff, net.blobs['x'].diff)
    np.testing.assert_array_equal(net.blobs['x'].diff, dy.reshape(2, 3, 4, 5))


@pytest.mark.parametrize('axis', [0, 1, -1])
def test_softmax(axis):
    net = make_net(layer('Softmax', extra=f'softmax_param {{ axis: {axis} }}'), {'x': (3, 4, 5)})
    net.forward()
    np.testing.assert_allclose(net.blobs['y'].data, F.softmax(torch.tensor(net.blobs['x'].data), axis), rtol=1e-5)


def test_normalize_and_its_norms():
    for kind, order in (('L2', 2), ('L1', 1)):
        net = make_net(
            layer('Normalize', 'x', 'y n', f'normalize_param {{ normalize_type: "{kind}" }}'), {'x': (3, 4, 5, 2)}
        )
        net.forward()
        norm = np.linalg.norm(net.blobs['x'].data, order, 1, keepdims=True)
        assert net.blobs['n'].shape == (3, 1, 5, 2)
        np.testing.assert_allclose(net.blobs['n'].data, norm, rtol=1e-5)
        np.testing.assert_allclose(net.blobs['y'].data, net.blobs['x'].data / norm, rtol=1e-5)
    assert make_net(layer('Normalize', 'x', 'y n'), {'x': (3, 4)}).blobs['n'].shape == (3, 1, 1, 1)


def test_tile():
    tiled = output(layer('Tile', extra='tile_param { axis: 1 tiles: 2 }'), {'x': (2, 2)}, {'x': [[1, 2], [3, 4]]})
    assert tiled.tolist() == [[1, 2, 1, 2], [3, 4, 3, 4]]


@pytest.mark.parametrize(
    'operation, expected', [('SUM', [-4, 2]), ('ASUM', [8, 10]), ('SUMSQ', [20, 18]), ('MEAN', [-4 / 3, 2 / 3])]
)
def test_reduction(operation, expected):
    text = layer('Reduction', extra=f'reduction_param {{ operation: {operation} axis: 1 coeff: 2 }}')
    assert output(text, {'x': (2, 3)}, {'x': [[1, -3, 0], [1, 2, -2]]}) == pytest.approx(expected)


def test_reduction_to_one_value_has_no_axes():
    assert make_net(layer('Reduction'), {'x': (2, 3)}).blobs['y'].shape == ()


ROW = [[3, 9, 9, 1], [5, 2, 7, 0]]


def test_arg_max_puts_the_last_of_equal_values_first():
    def largest(text):
        return output(layer('ArgMax', extra=f'argmax_param {{ {text} }}'), {'x': (2, 4)}, {'x': ROW})

    assert largest('').tolist() == [[[2]], [[2]]]
    assert largest('top_k: 2 out_max_val: true').tolist() == [[[2, 1], [9, 9]], [[2, 0], [7, 5]]]
    assert largest('axis: 1 top_k: 3').tolist() == [[2, 1, 0], [2, 0, 1]]
    assert largest('axis: 1 top_k: 2 out_max_val: true').tolist() == [[9, 9], [7, 5]]
    assert largest('axis: 0').tolist() == [[1, 0, 0, 0]]


def test_filter_keeps_the_selected_items_and_their_diffs():
    text = layer('Filter', 'x s', 'y', 'propagate_down: true propagate_down: false loss_weight: 1')
    net = make_net(text, {'x': (4, 2), 's': (4,)}, force_backward=False)
    net.blobs['s'].data[...] = [0, 1, 0, 1]
    net.forward()
    np.testing.assert_array_equal(net.blobs['y'].data, net.blobs['x'].data[[1, 3]])
    net.blobs['y'].diff[...] = [[1, 2], [3, 4]]
    net.backward()
    assert net.blobs['x'].diff.tolist() == [[0, 0], [1, 2], [0, 0], [3, 4]]
    net.blobs['s'].data[...] = 0
    net.forward()
    assert net.blobs['y'].shape == (0, 2)


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
