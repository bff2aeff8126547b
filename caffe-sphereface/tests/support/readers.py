"""Programs that read exported nets: each function gives {output name: array} for {input name: array} of one item.

A test of a reader that is not installed is skipped; requirements-test.txt and docs/deploy.md say how to have them all.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from repository import ROOT


def in_ncnn(param, inputs, outputs):
    """Outputs of a .param, with the .bin beside it; ncnn has no batch, so arrays come without theirs."""
    ncnn = pytest.importorskip('ncnn', reason='ncnn is not installed (pip install ncnn)')
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    assert net.load_param(str(param)) == 0
    assert net.load_model(str(param.with_suffix('.bin'))) == 0
    extractor = net.create_extractor()
    kept = {name: np.ascontiguousarray(item, np.float32) for name, (item,) in inputs.items()}
    # a Mat of an array only points to it, at an address that ncnn may not be able to compute from: its copy is its own
    mats = {name: ncnn.Mat(item).clone() for name, item in kept.items()}
    for name, mat in mats.items():
        assert extractor.input(name, mat) == 0
    made = {}
    for name in outputs:
        status, mat = extractor.extract(name)
        assert status == 0, name
        made[name] = np.array(mat)
    return made


def in_onnxruntime(path, inputs, outputs):
    """Outputs of an ONNX file."""
    onnxruntime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed (pip install onnxruntime)')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    taken = {value.name for value in session.get_inputs()}
    made = session.run(list(outputs), {name: array for name, array in inputs.items() if name in taken})
    return dict(zip(outputs, made))


def in_opencv4(prototxt, caffemodel, inputs, outputs):
    """Outputs of a prototxt and its caffemodel, in OpenCV's importer of Caffe's files."""
    cv2 = pytest.importorskip('cv2')
    if int(cv2.__version__.split('.')[0]) >= 5:
        pytest.skip(f'OpenCV {cv2.__version__} has no Caffe importer, 4.x has')
    net = cv2.dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    for name, array in inputs.items():
        net.setInput(array, name)
    if len(outputs) == 1:
        return {outputs[0]: net.forward()}
    made = net.forwardAndRetrieve([*dict.fromkeys(net.getUnconnectedOutLayersNames())])
    return dict(zip(outputs, [array for of_layer in made for array in of_layer], strict=True))


def in_opencv(path, inputs, outputs):
    """Outputs of an ONNX file in the OpenCV of the tests."""
    cv2 = pytest.importorskip('cv2')
    net = cv2.dnn.readNetFromONNX(str(path))
    for name, array in inputs.items():
        net.setInput(array, name)
    return {name: net.forward(name) for name in outputs}


def in_other_environment(reader, path, inputs, outputs):
    """Outputs of an ONNX file in a reader ('opencv5', 'openvino') of requirements-readers.txt, by a process of its own.

    The environment is the folder that READERS_VENV names, .venv-readers of the checkout without it.
    """
    venv = Path(os.environ.get('READERS_VENV', ROOT / '.venv-readers'))
    if not (venv / 'bin/python').exists():
        pytest.skip(
            f'no environment with OpenCV 5 and OpenVINO in {venv}, requirements-readers.txt says how to make it'
        )
    given, made = path.with_suffix('.in.npz'), path.with_suffix('.out.npz')
    np.savez(given, outputs=np.array(list(outputs)), **inputs)
    script = ROOT / 'tests/support/onnx_reader.py'
    subprocess.run([venv / 'bin/python', script, reader, path, given, made], check=True)
    return dict(np.load(made))
