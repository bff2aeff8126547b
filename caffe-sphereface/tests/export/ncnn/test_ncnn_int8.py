"""Layers that a calibration names compute in int8 in ncnn: as rounded weights and inputs do in float."""

import json

import numpy as np
import pytest

from caffe.cli.main import main
from caffe.errors import CaffeError
from caffe.export.ncnn.files import export_ncnn
from caffe.export.ncnn.int8 import read_thresholds
from layer_case import layer, make_net
from random_parameters import randomise
from readers import in_ncnn

LAYERS = {
    'dense': ('Convolution', 'convolution_param { num_output: 8 kernel_size: 3 pad: 1 }'),
    'pointwise': ('Convolution', 'convolution_param { num_output: 6 kernel_size: 1 }'),
    'strided': ('Convolution', 'convolution_param { num_output: 5 kernel_size: 3 stride: 2 bias_term: false }'),
    'depthwise': ('Convolution', 'convolution_param { num_output: 8 kernel_size: 3 group: 8 pad: 1 }'),
    'product': ('InnerProduct', 'inner_product_param { num_output: 7 }'),
}
HIGH = 2.0  # of the input


def calibrated(net, path, reader='ncnn', **more):
    """A calibration file for the one layer of a net."""
    filters = net.params['layer'][0].data.reshape(len(net.params['layer'][0].data), -1)
    content = {
        'reader': reader,
        'blobs': {'x': [-HIGH, HIGH]},
        'layers': {'layer': {'bottom': 'x', 'thresholds': np.abs(filters).max(1).tolist()} | more},
    }
    path.write_text(json.dumps(content))
    return str(path)


def rounded(values, reach):
    """Values in 255 steps from -reach to reach."""
    step = reach / 127
    return np.rint(values / step).clip(-127, 127) * step


def case(name):
    kind, fields = LAYERS[name]
    net = make_net(layer(kind, extra=fields), {'x': (1, 8, 9, 7)})
    randomise(net)
    return net


@pytest.mark.parametrize('name', LAYERS)
def test_int8_layers_compute_with_rounded_weights_and_inputs(name, tmp_path):
    net = case(name)
    export_ncnn(net, str(tmp_path / 'net.param'), calibrated(net, tmp_path / 'c.json'))
    got = in_ncnn(tmp_path / 'net.param', {'x': net.blobs['x'].data}, ['y'])['y']
    whole = net.forward()['y'][0].copy()
    weight = net.params['layer'][0].data
    for row in weight:
        row[...] = rounded(row, np.abs(row).max())
    net.blobs['x'].data[...] = rounded(net.blobs['x'].data, HIGH)
    want = net.forward()['y'][0]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-3 * np.abs(want).max())
    assert np.abs(got - whole).max() > 1e-3 * np.abs(want).max()  # which rounds, indeed


def test_the_weights_take_a_byte_each_and_the_table_has_their_scales(tmp_path):
    net = case('product')
    paths = export_ncnn(net, str(tmp_path / 'net.param'), calibrated(net, tmp_path / 'c.json'))
    assert paths == [str(tmp_path / f'net.{end}') for end in ('param', 'bin', 'table')]
    values, outputs = 8 * 9 * 7 * 7, 7
    assert (tmp_path / 'net.bin').stat().st_size == 4 + values + 4 * (outputs + outputs + 1)
    first, second = (tmp_path / 'net.table').read_text().splitlines()
    scales = 127 / np.abs(net.params['layer'][0].data).max(1)
    assert first.split()[0] == 'layer_param_0'
    np.testing.assert_allclose([float(word) for word in first.split()[1:]], scales, rtol=1e-6)
    assert second.split() == ['layer', '63.5']


def test_a_filter_of_zeros_stays_one(tmp_path):
    net = case('pointwise')
    net.params['layer'][0].data[2] = 0
    export_ncnn(net, str(tmp_path / 'net.param'), calibrated(net, tmp_path / 'c.json'))
    got = in_ncnn(tmp_path / 'net.param', {'x': net.blobs['x'].data}, ['y'])['y']
    np.testing.assert_allclose(got[2], net.params['layer'][1].data[2], rtol=1e-6)


def test_weights_that_were_not_calibrated_are_refused_before_anything_is_written(tmp_path):
    net = case('dense')
    path = calibrated(net, tmp_path / 'c.json')
    net.params['layer'][0].data[...] *= 2
    with pytest.raises(CaffeError, match="c.json: layer 'layer' has other weights than were calibrated"):
        export_ncnn(net, str(tmp_path / 'net.param'), path)
    assert [file.name for file in tmp_path.iterdir()] == ['c.json']


@pytest.mark.parametrize(
    'text, message',
    [
        ('{}', 'is no calibration file'),
        ('no JSON', 'is no calibration file'),
        ('{"reader": "onnxruntime", "blobs": {}, "layers": {}}', "was calibrated for 'onnxruntime', expected ncnn"),
    ],
)
def test_what_is_no_calibration_for_ncnn_is_refused(text, message, tmp_path):
    (tmp_path / 'c.json').write_text(text)
    with pytest.raises(CaffeError, match=message):
        read_thresholds(str(tmp_path / 'c.json'))


def test_the_flag_goes_with_ncnn(tmp_path, capsys):
    assert main(['export', '-onnx', 'net.onnx', '-calibration', 'c.json', '-model', 'net.prototxt']) == 1
    assert '-calibration goes with -ncnn' in capsys.readouterr().err
