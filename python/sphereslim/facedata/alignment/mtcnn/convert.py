"""Caffemodels of MTCNN from the weights in the PyPI package `mtcnn` (1.0, MIT licence)."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment.mtcnn.networks import NAMES, PROTOTXT

STORED = {'det1': 'pnet', 'det2': 'rnet', 'det3': 'onet'}
HEADS = {'det1': ('conv4-2', 'conv4-1'), 'det2': ('conv5-2', 'conv5-1'), 'det3': ('conv6-2', 'conv6-3', 'conv6-1')}
"""The last layers in the order in which the package stores them: box, landmarks, face or not."""


def converted(folder: str | Path) -> Path:
    """`folder` with det1 to det3.caffemodel, made from the installed package unless they are there already."""
    folder = Path(folder)
    if not all((folder / f'{name}.caffemodel').is_file() for name in NAMES):
        weights = _package_weights()
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            _convert(name, weights[name], folder / f'{name}.caffemodel')
    return folder


def _package_weights() -> dict[str, list[np.ndarray]]:
    """{network: list of arrays} from the package, without importing it (it would need TensorFlow)."""
    advice = "no weights for MTCNN: name a folder with det1 to det3.caffemodel (--mtcnn), or 'pip install mtcnn==1.0.0'"
    package = importlib.util.find_spec('mtcnn')
    if package is None or package.origin is None:
        raise SlimError(advice)
    import joblib  # the package brings it

    folder = Path(package.origin).parent / 'assets' / 'weights'
    files = {name: folder / f'{stored}.lz4' for name, stored in STORED.items()}
    if not all(path.is_file() for path in files.values()):
        raise SlimError(f'{advice} (another version is installed)')
    return {name: joblib.load(path) for name, path in files.items()}


def _convert(name: str, arrays: Sequence[np.ndarray], path: Path) -> None:
    net = caffe.Net(str(PROTOTXT / f'{name}.prototxt'), caffe.TEST)
    layers = [layer for layer in net.params if layer not in HEADS[name]] + list(HEADS[name])
    blobs = [(layer, blob) for layer in layers for blob in net.params[layer]]
    if len(blobs) != len(arrays):
        raise SlimError(f'mtcnn package: {len(arrays)} arrays for {name}, expected {len(blobs)}')
    for (layer, blob), array in zip(blobs, arrays):
        values = _in_caffes_order(array, blob.data.shape, net, layer)
        if values.shape != blob.data.shape:
            raise SlimError(f"mtcnn package: {array.shape} for {name}'s '{layer}', expected {blob.data.shape}")
        blob.data[...] = values
    net.save(str(path))


def _in_caffes_order(array: np.ndarray, shape: tuple[int, ...], net: caffe.Net, layer: str) -> np.ndarray:
    """An array of the package, which sees pictures as (height, width, channels), for nets that see (channels, x, y)."""
    if array.ndim == 4:
        return array.transpose(3, 2, 1, 0)  # (ky, kx, in, out) to (out, in, kx, ky)
    if array.ndim == 2:
        return _columns(array, net, layer)
    return array.reshape(shape) if array.size == np.prod(shape) else array


def _columns(array: np.ndarray, net: caffe.Net, layer: str) -> np.ndarray:
    """(inputs, outputs) to (outputs, inputs); the places of a map below go from (x, y, channel) to (channel, x, y)."""
    below = net.blobs[net.bottom_names[layer][0]].data.shape
    if len(below) < 4:
        return array.T
    channels, x, y = below[1:]
    return array.reshape(x, y, channels, -1).transpose(3, 2, 0, 1).reshape(array.shape[1], -1)
