"""InterClass with the objective of minimum hyperspherical energy."""

import itertools

import numpy as np
import pytest

import caffe
from caffe.layers.face import hyperspherical_energy
from gradcheck import check_gradient
from layer_case import layer, make_net, run

SHAPES = {'x': (6, 4), 'label': (6,)}
LABELS = [0, 3, 1, 3, 2, 0]
KINDS = [(kind, power, half) for kind in ('MHE', 'MHE_BATCH') for power in (0, 1, 2) for half in ('false', 'true')]


def text(settings, outputs=5, alpha=1.0, extra=''):
    return layer(
        'InterClass',
        'x label',
        'y',
        f"""inter_class_param {{ num_output: {outputs} {settings}
        weight_filler {{ type: "gaussian" std: 1 }} alpha_start_iter: 1 alpha_start_value: {alpha} }} {extra}""",
    )


def net_of(settings, weight=None, **options):
    if weight is None:
        net = make_net(text(settings, **options), SHAPES)
        net.blobs['label'].data[...] = LABELS
        return net
    rows, columns = np.shape(weight)
    net = make_net(text(settings, outputs=rows, **options), {'x': (1, columns), 'label': (1,)})
    net.blobs['label'].data[...] = 0
    net.params['layer'][0].data[...] = weight
    return net


def riesz(distance, power):
    return -np.log(distance) if power == 0 else distance**-power


@pytest.mark.parametrize('kind, power, half', KINDS)
def test_the_gradient_is_the_true_one(kind, power, half):
    check_gradient(
        text(f'type: {kind} power: {power} half_space: {half}'), SHAPES, values={'label': LABELS}, skip={'label'}
    )


@pytest.mark.parametrize('kind, power, half', KINDS)
def test_the_energy_is_the_mean_over_pairs(kind, power, half):
    net = net_of(f'type: {kind} power: {power} half_space: {half}')
    net.forward()
    w = net.params['layer'][0].data.astype('d')
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    shares = []
    for i, j in itertools.product(range(5) if kind == 'MHE' else LABELS, range(5)):
        if i != j:
            both = [riesz(np.linalg.norm(w[i] - w[j]), power), riesz(np.linalg.norm(w[i] + w[j]), power)]
            shares.append(np.mean(both) if half == 'true' else both[0])
    assert float(net.blobs['y'].data) == pytest.approx(np.mean(shares), rel=1e-5)


@pytest.mark.parametrize('power, expected', [(0, -np.log(2)), (1, 0.5), (2, 0.25)])
def test_opposite_rows_of_any_length(power, expected):
    net = net_of(f'type: MHE power: {power}', [[0, 3, 0], [0, -0.2, 0]])
    assert float(net.forward()['y']) == pytest.approx(expected, rel=1e-6)


def descend(settings, weight, steps=300, rate=0.2):
    """The cosines between the rows after gradient descent on the sphere by the layer's diff."""
    net = net_of(settings, weight)
    blob = net.params['layer'][0]
    for _ in range(steps):
        net.clear_param_diffs()
        net.forward()
        net.backward()
        moved = blob.data - rate * blob.diff
        blob.data[...] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return blob.data @ blob.data.T


@pytest.mark.parametrize('power', [0, 1, 2])
def test_descent_spreads_the_rows_evenly(power):
    near = [[1, 0.0], [1, 0.4], [0.9, -0.5]]
    cosines = descend(f'type: MHE power: {power}', near)
    np.testing.assert_allclose(cosines[np.triu_indices(3, 1)], -0.5, atol=1e-3)
    cosines = descend(f'type: MHE power: {power} half_space: true', [[1, 0.0], [-1, 0.5]])
    assert abs(cosines[0, 1]) < 1e-3  # in the half-space opposite rows are as near as equal ones


def test_the_batch_of_every_class_once_is_the_full_energy():
    full, batch = net_of('type: MHE'), net_of('type: MHE_BATCH')
    for net in (full, batch):
        net.blobs['label'].reshape(5)
        net.blobs['x'].reshape(5, 4)
        net.blobs['label'].data[...] = range(5)
        run(net)
    assert float(full.blobs['y'].data) == pytest.approx(float(batch.blobs['y'].data))
    np.testing.assert_allclose(full.params['layer'][0].diff, batch.params['layer'][0].diff, rtol=1e-4, atol=1e-6)


def test_pairs_are_taken_in_parts_that_fit_in_memory(monkeypatch):
    results = []
    for most in (1 << 24, 10):
        monkeypatch.setattr(hyperspherical_energy, 'AT_ONCE', most)
        net = net_of('type: MHE')
        run(net)
        results.append((net.blobs['y'].data.copy(), net.params['layer'][0].diff.copy()))
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize('power, expected', [(0, np.log(100)), (1, 100), (2, 100**2)])
def test_equal_rows_count_as_a_hundredth_apart(power, expected):
    net = net_of(f'type: MHE power: {power}', [[1, 2], [2, 4]])
    assert float(net.forward()['y']) == pytest.approx(expected, rel=1e-3)


def test_equal_rows_stay_finite():
    net = net_of('type: MHE', [[1, 2], [1, 2], [0, 1]])
    run(net)
    assert np.isfinite(net.blobs['y'].data).all() and np.isfinite(net.params['layer'][0].diff).all()


def test_alpha_and_loss_weight_scale_the_gradient_only():
    plain, scaled = net_of('type: MHE'), net_of('type: MHE', alpha=2.5, extra='loss_weight: 3')
    for net in (plain, scaled):
        net.forward()
        net.backward()
    assert float(plain.blobs['y'].data) == pytest.approx(float(scaled.blobs['y'].data))
    np.testing.assert_allclose(scaled.params['layer'][0].diff, 7.5 * plain.params['layer'][0].diff, rtol=1e-5)


@pytest.mark.parametrize(
    'settings, outputs, message',
    [
        ('type: MHE power: 3', 5, 'power is 3, expected 0, 1 or 2'),
        ('type: MHE', 1, 'num_output is 1, expected at least 2'),
    ],
)
def test_settings_that_make_no_sense(settings, outputs, message):
    with pytest.raises(caffe.CaffeError, match=rf"layer 'layer' \(InterClass\): {message}"):
        net_of(settings, outputs=outputs)


def test_a_label_that_is_no_class():
    net = net_of('type: MHE_BATCH')
    net.blobs['label'].data[2] = 5
    with pytest.raises(caffe.CaffeError, match=r"layer 'layer' \(InterClass\).*expected 0 to 4"):
        net.forward()
