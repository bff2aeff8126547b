"""Eltwise, by hand."""

from layer_case import layer, make_net, output


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
