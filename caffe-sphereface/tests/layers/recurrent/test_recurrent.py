"""RNN, LSTM and LSTMUnit against torch's, numeric gradients and each other."""

import numpy as np
import pytest
import torch

import caffe
from gradcheck import check_gradient
from layer_case import layer, make_net, run

STEPS, STREAMS, INPUTS, HIDDEN = 5, 3, 4, 6
SHAPES = {'x': (STEPS, STREAMS, INPUTS), 'cont': (STEPS, STREAMS)}
STATIC = {**SHAPES, 's': (STREAMS, 2, 2)}
# streams that start anew in the middle, at the first step and at the last
CONT = np.array([[1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 0]], 'f')
FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 }'


def text(kind, bottoms='x cont', tops='y', extra=''):
    return layer(kind, bottoms, tops, f'recurrent_param {{ num_output: {HIDDEN} {FILLERS} {extra} }}')


def exposed(kind):
    """Bottoms, tops and shapes with initial and final states."""
    names = ['h', 'c'] if kind == 'LSTM' else ['h']
    shapes = {**SHAPES, **{name: (1, STREAMS, HIDDEN) for name in names}}
    return ' '.join(shapes), ' '.join(['y', *(f'{name}_T' for name in names)]), shapes


def torch_lstm(weights, x, state=None):
    """torch.nn.LSTM with Caffe's weights, whose gates come in the order i, f, o, g and not i, f, g, o."""
    wide, bias, deep = (np.concatenate([p[: 2 * HIDDEN], p[3 * HIDDEN :], p[2 * HIDDEN : 3 * HIDDEN]]) for p in weights)
    lstm = torch.nn.LSTM(INPUTS, HIDDEN)
    with torch.no_grad():
        for name, values in (
            ('weight_ih_l0', wide),
            ('weight_hh_l0', deep),
            ('bias_ih_l0', bias),
            ('bias_hh_l0', 0 * bias),
        ):
            getattr(lstm, name).copy_(torch.from_numpy(values))
        return lstm(torch.from_numpy(x), state)


def test_lstm_equals_torch():
    net = make_net(text('LSTM'), SHAPES)
    net.blobs['cont'].data[...] = 1
    net.forward()
    weights = [blob.data for blob in net.params['layer']]
    y, state = torch_lstm(weights, net.blobs['x'].data)
    np.testing.assert_allclose(net.blobs['y'].data, y, atol=1e-5)
    net.forward()
    again, _ = torch_lstm(weights, net.blobs['x'].data, state)
    np.testing.assert_allclose(net.blobs['y'].data, again, atol=1e-5)
    assert abs(again - y).max() > 0.01


def test_rnn_equals_torch():
    net = make_net(text('RNN'), SHAPES)
    net.blobs['cont'].data[...] = 1
    net.forward()
    wide, bias, deep, out, out_bias = (torch.from_numpy(blob.data) for blob in net.params['layer'])
    rnn = torch.nn.RNN(INPUTS, HIDDEN)
    with torch.no_grad():
        for parameter, values in zip(rnn.parameters(), (wide, deep, bias, 0 * bias)):
            parameter.copy_(values)
        want = torch.tanh(rnn(torch.from_numpy(net.blobs['x'].data))[0] @ out.t() + out_bias)
    np.testing.assert_allclose(net.blobs['y'].data, want, atol=1e-5)


@pytest.mark.parametrize('kind', ['RNN', 'LSTM'])
def test_a_marker_of_zero_forgets_everything(kind):
    net = make_net(text(kind), SHAPES)
    net.blobs['cont'].data[...] = CONT
    net.forward()
    x, before = net.blobs['x'].data, net.blobs['y'].data.copy()
    x[:2, 0] += 1
    net.forward()
    changed = abs(net.blobs['y'].data - before).max(2) > 1e-6
    assert changed[:2, 0].all() and not changed[2:, 0].any()


@pytest.mark.parametrize('kind', ['RNN', 'LSTM'])
def test_exposed_states_continue_a_sequence(kind):
    bottoms, tops, shapes = exposed(kind)
    whole = make_net(text(kind, bottoms, tops, 'expose_hidden: true'), shapes)
    whole.blobs['cont'].data[...] = 1
    whole.forward()
    full = {name: whole.blobs[name].data.copy() for name in tops.split()}
    shapes = {**shapes, 'x': (1, STREAMS, INPUTS), 'cont': (1, STREAMS)}
    single = make_net(text(kind, bottoms, tops, 'expose_hidden: true'), shapes)
    single.share_with(whole)
    single.blobs['cont'].data[...] = 1
    for name in shapes:
        if name in 'hc':
            single.blobs[name].data[...] = whole.blobs[name].data
    for t in range(STEPS):
        single.blobs['x'].data[...] = whole.blobs['x'].data[t]
        single.forward()
        np.testing.assert_allclose(single.blobs['y'].data[0], full['y'][t], atol=1e-5)
        for name in tops.split()[1:]:
            single.blobs[name[0]].data[...] = single.blobs[name].data
    for name in tops.split()[1:]:
        np.testing.assert_allclose(single.blobs[name].data, full[name], atol=1e-5)


@pytest.mark.parametrize('kind', ['RNN', 'LSTM'])
@pytest.mark.parametrize('shapes', [SHAPES, STATIC], ids=['plain', 'static'])
def test_backward_is_the_derivative(kind, shapes):
    # all streams start anew, for else every forward would go on from another state
    cont = CONT.copy()
    cont[0] = 0
    check_gradient(text(kind, ' '.join(shapes)), shapes, values={'cont': cont}, skip={'cont'}, most=15)


def test_lstm_unit_is_one_step_of_an_lstm():
    bottoms, tops, shapes = exposed('LSTM')
    shapes = {**shapes, 'x': (1, STREAMS, INPUTS), 'cont': (1, STREAMS)}
    net = make_net(text('LSTM', bottoms, tops, 'expose_hidden: true'), shapes)
    net.blobs['cont'].data[...] = [[1, 0, 1]]
    net.forward()
    wide, bias, deep = (blob.data for blob in net.params['layer'])
    h = net.blobs['h'].data[0] * net.blobs['cont'].data[0][:, None]
    unit = make_net(
        layer('LSTMUnit', 'c gates cont', 'c_t h_t'),
        {'c': (1, STREAMS, HIDDEN), 'gates': (1, STREAMS, 4 * HIDDEN), 'cont': (1, STREAMS)},
    )
    unit.blobs['c'].data[...] = net.blobs['c'].data
    unit.blobs['gates'].data[...] = net.blobs['x'].data[0] @ wide.T + bias + h @ deep.T
    unit.blobs['cont'].data[...] = net.blobs['cont'].data
    unit.forward()
    np.testing.assert_allclose(unit.blobs['h_t'].data, net.blobs['h_T'].data, atol=1e-5)
    np.testing.assert_allclose(unit.blobs['c_t'].data, net.blobs['c_T'].data, atol=1e-5)


def test_lstm_unit_backward_is_the_derivative():
    shapes = {'c': (1, 3, 2), 'gates': (1, 3, 8), 'cont': (1, 3)}
    check_gradient(layer('LSTMUnit', 'c gates cont', 'c_t h_t'), shapes, values={'cont': [[1, 0, 1]]}, skip={'cont'})


def test_frozen_weights_get_no_gradient():
    frozen = text('LSTM').replace('recurrent_param', 'param { lr_mult: 0 } recurrent_param', 1)
    net = make_net(frozen.replace('force_backward: true', ''), SHAPES)
    net.layers[-1].param_propagate_down = [False, True, True]
    run(net)
    assert not net.params['layer'][0].diff.any()
    assert net.params['layer'][1].diff.any() and net.params['layer'][2].diff.any()


@pytest.mark.parametrize(
    'shapes, message',
    [
        ({'x': (5, 3, 4), 'cont': (3, 5)}, 'expected \\(T, N, 4\\) and \\(T, N\\)'),
        ({'x': (5,), 'cont': (5,)}, 'expected \\(steps, streams'),
    ],
)
def test_shapes_that_do_not_fit(shapes, message):
    with pytest.raises(caffe.CaffeError, match=f"'layer' \\(LSTM\\): .*{message}"):
        make_net(text('LSTM'), shapes)


@pytest.mark.parametrize('kind', ['LSTM', 'RNN'])
def test_the_number_of_steps_may_not_change(kind):
    net = make_net(text(kind), SHAPES)
    for name, shape in SHAPES.items():
        net.blobs[name].reshape(STEPS + 1, *shape[1:])
    with pytest.raises(caffe.CaffeError, match=f'expected {STEPS} steps as at first'):
        net.reshape()
