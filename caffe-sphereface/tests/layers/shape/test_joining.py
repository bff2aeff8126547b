"""Concat, Slice, Split, Silence and Filter."""

import numpy as np
import pytest

from layer_case import by_name, layer, make_net, run


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
