"""Run in the environment of requirements-readers.txt: onnx_reader.py READER NET.onnx INPUTS.npz OUTPUTS.npz."""

import sys

import numpy as np


def opencv5(path, inputs, outputs):
    """{output: array} by OpenCV's importer of ONNX."""
    import cv2

    net = cv2.dnn.readNetFromONNX(path)
    for name, array in inputs.items():
        net.setInput(array, name)
    return {name: net.forward(name) for name in outputs}


def openvino(path, inputs, outputs):
    """{output: array} by OpenVINO on the CPU, in float32 and one thread."""
    from openvino import Core

    core = Core()
    config = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
    made = core.compile_model(core.read_model(path), 'CPU', config)(inputs)
    return {name: made[name] for name in outputs}


if __name__ == '__main__':
    reader, model, given, made = sys.argv[1:]
    values = dict(np.load(given))
    names = values.pop('outputs').tolist()
    np.savez(made, **{'opencv5': opencv5, 'openvino': openvino}[reader](model, values, names))
