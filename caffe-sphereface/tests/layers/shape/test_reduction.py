"""Reduction and ArgMax, by hand."""

import pytest

from layer_case import layer, make_net, output


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


def test_arg_max_puts_the_last_of_many_equal_values_first():
    net = make_net(layer('ArgMax', extra='argmax_param { axis: 1 top_k: 3 }'), {'x': (2, 1000)})
    net.blobs['x'].data[...] = 1
    assert net.forward()['y'].tolist() == [[999, 998, 997]] * 2
