"""Which layers multiply in int8, and which blobs are rounded for that."""

from sphereslim.int8.points import int8_layers, rounded_blobs
from sphereslim.net.prototxt import parse_net

CONV = 'convolution_param { num_output: 4 kernel_size: 3 pad: 1 }'


def layer(kind, bottoms, top, fields=''):
    ends = ''.join(f'bottom: "{blob}" ' for blob in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}" {ends} top: "{top}" {fields} }}\n'


def net(*layers):
    data = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 8 dim: 8 } } }\n'
    return parse_net(data + ''.join(layers))


RESIDUAL = net(
    layer('Convolution', 'x', 'a', CONV),
    layer('PReLU', 'a', 'b'),
    layer('Convolution', 'b', 'c', CONV),
    layer('Convolution', 'b', 'd', CONV),
    layer('Eltwise', 'c d', 'e'),
    layer('InnerProduct', 'e', 'f', 'inner_product_param { num_output: 3 }'),
)


def test_blobs_that_int8_layers_read_and_make_and_sums_of_them_are_rounded():
    assert int8_layers(RESIDUAL) == ['a', 'c', 'd', 'f']
    assert list(rounded_blobs(RESIDUAL, int8_layers(RESIDUAL), 'onnxruntime')) == ['x', 'a', 'b', 'c', 'd', 'e']


def test_ncnn_rounds_what_int8_layers_read():
    assert list(rounded_blobs(RESIDUAL, ['a', 'c', 'd', 'f'], 'ncnn')) == ['x', 'b', 'e']
    assert list(rounded_blobs(RESIDUAL, ['c'], 'ncnn')) == ['b']


def test_a_layer_in_float32_takes_its_blobs_along():
    assert list(rounded_blobs(RESIDUAL, ['a', 'f'], 'onnxruntime')) == ['x', 'a', 'e']


def test_a_rectifier_is_part_of_the_layer_before_it():
    rectified = net(layer('Convolution', 'x', 'a', CONV), layer('ReLU', 'a', 'b'), layer('Convolution', 'b', 'c', CONV))
    assert list(rounded_blobs(rectified, ['a', 'c'], 'onnxruntime')) == ['x', 'b']
    leaky = net(
        layer('Convolution', 'x', 'a', CONV),
        layer('ReLU', 'a', 'b', 'relu_param { negative_slope: 0.1 }'),
        layer('Convolution', 'b', 'c', CONV),
    )
    assert list(rounded_blobs(leaky, ['a', 'c'], 'onnxruntime')) == ['x', 'a', 'b']


def test_maxima_and_reshaped_blobs_have_the_range_of_what_they_are_made_of():
    pooled = net(
        layer('Convolution', 'x', 'a', CONV),
        layer('PReLU', 'a', 'b'),
        layer('Pooling', 'b', 'c', 'pooling_param { kernel_size: 2 stride: 2 }'),
        layer('Flatten', 'c', 'd'),
        layer('InnerProduct', 'd', 'e', 'inner_product_param { num_output: 3 }'),
    )
    assert rounded_blobs(pooled, ['a', 'e'], 'onnxruntime') == {'x': 'x', 'a': 'a', 'b': 'b', 'c': 'b', 'd': 'b'}


def test_layers_that_no_int8_kernel_computes_are_not_asked():
    other = net(
        layer('Deconvolution', 'x', 'a', CONV),
        layer('InnerProduct', 'a', 'b', 'inner_product_param { num_output: 3 normalize: true }'),
        layer('InnerProduct', 'a', 'c', 'inner_product_param { num_output: 3 axis: 2 }'),
    )
    assert int8_layers(other) == []
