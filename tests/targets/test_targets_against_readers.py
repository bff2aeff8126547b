"""What the data files of the targets say is held against the readers that are installed."""

import numpy as np
import pytest
from one_layer_nets import one_layer_net, types
from sphereslim.net.prototxt import parse_net, read_net
from sphereslim.targets.check import OBSTACLE, check
from sphereslim.targets.facts import MEASURED, read_target

from caffe.export.graph import converted_types as onnx_types
from caffe.export.ncnn.files import export_ncnn
from caffe.export.ncnn.graph import converted_types as ncnn_types
from caffe.export.onnx_file import export_onnx
from golden_cases import CASES, GOLDENS, TRAINING, golden_net, named
from readers import in_ncnn, in_onnxruntime, in_opencv4, in_other_environment

NOTHING_COMPUTED = {'Split', 'Silence'}  # made by the engine, or without a top


def through_ncnn(net, text, folder):
    export_ncnn(net, str(folder / 'net.param'))
    first = {name: net.blobs[name].data[:1] for name in net.inputs}
    return {name: array[None] for name, array in in_ncnn(folder / 'net.param', first, net.outputs).items()}


def through_onnxruntime(net, text, folder):
    export_onnx(net, str(folder / 'net.onnx'))
    return in_onnxruntime(folder / 'net.onnx', {name: net.blobs[name].data for name in net.inputs}, net.outputs)


def through_opencv4(net, text, folder):
    (folder / 'net.prototxt').write_text(text)
    net.save(str(folder / 'net.caffemodel'))
    inputs = {name: net.blobs[name].data for name in net.inputs}
    return in_opencv4(folder / 'net.prototxt', folder / 'net.caffemodel', inputs, net.outputs)


def through_opencv5(net, text, folder):
    export_onnx(net, str(folder / 'net.onnx'))
    inputs = {name: net.blobs[name].data for name in net.inputs}
    return in_other_environment('opencv5', folder / 'net.onnx', inputs, net.outputs)


INSTALLED = {'ncnn': through_ncnn, 'onnxruntime': through_onnxruntime, 'opencv4': through_opencv4}
READERS = INSTALLED | {'opencv5': through_opencv5}


def assert_agrees(reader, net, text, folder):
    wanted = {name: array.copy() for name, array in net.forward().items()}
    got = READERS[reader](net, text, folder)
    for name, whole in wanted.items():
        want = whole[:1] if reader == 'ncnn' else whole
        most = np.nanmax(np.abs(want), initial=1e-3)
        np.testing.assert_allclose(got[name].reshape(want.shape), want, rtol=0, atol=1e-4 * most, err_msg=name)


MEASURED_TYPES = [
    (reader, kind) for reader in READERS for kind in types() if read_target(reader).types.get(kind) == MEASURED
]


@pytest.mark.parametrize('reader, kind', MEASURED_TYPES)
def test_a_reader_computes_the_layers_that_its_file_lists(reader, kind, tmp_path):
    text, net = one_layer_net(kind)
    assert not [f for f in check(parse_net(text), read_target(reader)) if f.kind == OBSTACLE]
    assert_agrees(reader, net, text, tmp_path)


@pytest.mark.parametrize('kind', sorted({*types()} - {*read_target('opencv4').types}))
def test_opencv_does_not_compute_the_layers_that_its_file_leaves_out(kind, tmp_path):
    text, net = one_layer_net(kind)
    with pytest.raises(Exception, match='OpenCV|Not equal to tolerance'):
        assert_agrees('opencv4', net, text, tmp_path)


@pytest.mark.parametrize('name, known', [('ncnn', ncnn_types), ('onnxruntime', onnx_types)])
def test_the_files_list_what_the_exports_write(name, known):
    assert sorted(read_target(name).types) == known()


def test_every_measured_type_of_opencv_has_a_net_or_is_in_the_goldens():
    assert {*read_target('opencv4').types} - {*types()} - NOTHING_COMPUTED == {'DetectionOutput'}


@pytest.mark.skipif(not CASES, reason=f'no goldens in {GOLDENS} (set SHARED to the folder that holds them)')
@pytest.mark.parametrize('case', [case for case in CASES if not case.name.startswith(TRAINING)], ids=named)
@pytest.mark.parametrize('reader', INSTALLED)
def test_a_net_without_obstacles_gives_the_same_outputs_in_the_reader(reader, case, tmp_path):
    prototxt = f'{case}.prototxt'
    if [f for f in check(read_net(prototxt), read_target(reader)) if f.kind == OBSTACLE]:
        return
    net = golden_net(case)
    with open(prototxt) as file:
        assert_agrees(reader, net, file.read(), tmp_path)
