"""Nets with weights in few bits (Vitis AI): channels are removed through them, and costs are counted."""

import numpy as np
from masking import assert_pruned_is_masked, randomize
from sphereslim.channels.groups import Groups
from sphereslim.net.costs import measure
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import read_net

FIXED = 'fixed_param { bit_width: 8 }'
TEXT = f"""layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: [2, 3, 12, 12] }} }} }}
layer {{ name: "in" type: "FixedNeuron" bottom: "data" top: "data" param {{ lr_mult: 0 }} {FIXED} }}
layer {{ name: "conv1" type: "ConvolutionFixed" bottom: "data" top: "conv1" convolution_param {{ num_output: 6
    kernel_size: 3 }} {FIXED} }}
layer {{ name: "conv1_fixed" type: "FixedNeuron" bottom: "conv1" top: "conv1" {FIXED} }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "conv2" type: "ConvolutionFixed" bottom: "pool1" top: "conv2" convolution_param {{ num_output: 8
    kernel_size: 3 }} {FIXED} }}
layer {{ name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }}
layer {{ name: "ip1" type: "InnerProductFixed" bottom: "conv2" top: "ip1" inner_product_param {{ num_output: 5 }}
    {FIXED} }}
layer {{ name: "relu3" type: "ReLU" bottom: "ip1" top: "ip1" }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param {{ num_output: 4 }} }}
"""


def test_pruned_equals_masked(tmp_path):
    (tmp_path / 'net.prototxt').write_text(TEXT)
    proto = read_net(tmp_path / 'net.prototxt')
    rng = np.random.default_rng(0)
    whole = open_net(proto)
    randomize(whole, rng)
    for name, position in (('in', 5), ('conv1_fixed', 4)):
        whole.params[name][0].data[...] = position
    groups = Groups(proto)
    sizes = {group.name: group.size for group in groups.prunable()}
    assert sizes == {'conv1': 6, 'conv2': 8, 'ip1': 5}
    # the largest weights stay, which the position of all depends on
    kept = {}
    for name, size in sizes.items():
        most = [np.abs(blob.data.reshape(size, -1)).max(1).argmax() for blob in whole.params[name]]
        kept[name] = np.unique([*range(0, size, 2), *most])
    inputs = {'data': rng.normal(0, 1, (2, 3, 12, 12))}
    assert_pruned_is_masked(proto, whole, groups, kept, inputs)


def test_multiply_accumulates_are_counted(tmp_path):
    (tmp_path / 'net.prototxt').write_text(TEXT)
    rows = {row.name: row.macs for row in measure(read_net(tmp_path / 'net.prototxt'))}
    assert rows['conv1'] == 2 * 6 * 3 * 9 * 10 * 10
    assert rows['conv2'] == 2 * 8 * 6 * 9 * 3 * 3
    assert rows['ip1'] == 2 * 5 * 8 * 3 * 3
