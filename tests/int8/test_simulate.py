"""A net in the layers that compute what a reader in int8 computes: who reads rounded blobs."""

import pytest
from sphereslim.int8.points import int8_layers, rounded_blobs
from sphereslim.int8.simulate import simulated
from sphereslim.net.prototxt import parse_net

CONV = 'convolution_param { num_output: 4 kernel_size: 3 pad: 1 }'
SHORTCUT = f"""
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 4 dim: 8 dim: 8 }} }} }}
layer {{ name: "a" type: "Convolution" bottom: "x" top: "a" {CONV} }}
layer {{ name: "b" type: "Convolution" bottom: "a" top: "b" {CONV} }}
layer {{ name: "c" type: "Eltwise" bottom: "b" bottom: "a" top: "c" }}
layer {{ name: "d" type: "InnerProduct" bottom: "c" top: "d" inner_product_param {{ num_output: 3 }} }}
"""


@pytest.mark.parametrize(
    'reader, read',
    [
        ('onnxruntime', {'a': ['x'], 'b': ['a'], 'c': ['b', 'a'], 'd': ['c']}),
        ('ncnn', {'a': ['x/int8'], 'b': ['a/int8'], 'c': ['b', 'a'], 'd': ['c/int8']}),
    ],
)
def test_a_shortcut_reads_the_rounded_blob_in_onnxruntime_and_the_blob_itself_in_ncnn(reader, read):
    net = parse_net(SHORTCUT)
    layers = int8_layers(net)
    blobs = dict.fromkeys(rounded_blobs(net, layers, reader), (-1.0, 1.0))
    made = simulated(net, blobs, layers, reader)
    assert {layer.name: list(layer.bottom) for layer in made.layer if layer.name in read} == read
    rounding = {layer.bottom[0]: layer.top[0] for layer in made.layer if layer.type == 'FakeQuantize'}
    assert rounding == {blob: f'{blob}/int8' if reader == 'ncnn' else blob for blob in blobs}
