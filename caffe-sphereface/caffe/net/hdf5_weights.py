"""Parameters in HDF5 files: /data/<layer>/<index>, and /diff/… when gradients are kept too."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from caffe.blobs.blob import set_values
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer
from caffe.proto.hdf5_file import open_hdf5, read_array, whole_hdf5

if TYPE_CHECKING:
    import h5py

    from caffe.net.net import Net


def load_hdf5(net: 'Net', path: str) -> None:
    """Copy parameters of layers with the same name from an HDF5 file.

    Raises CaffeError where the file is no such file or a layer's blobs differ in count or shape.
    """
    with open_hdf5(path) as file:
        found = _matching(net, file, path)
    for layer, index, values in found:
        set_values(layer.blobs[index], values)


def _matching(net: 'Net', file: 'h5py.File', path: str) -> list[tuple[Layer, int, np.ndarray]]:
    if 'data' not in file:
        raise CaffeError(f'{path}: has no group /data, expected the weights of a net')
    found = []
    for layer in net.layers:
        group = file['data'].get(layer.name)
        if group is None:
            continue
        if str(len(layer.blobs)) in group:
            raise CaffeError(f"{path}: layer '{layer.name}' has more blobs than the {len(layer.blobs)} expected")
        for i, blob in enumerate(layer.blobs):
            if str(i) not in group:
                if layer.param.param and i < len(layer.param.param) and layer.param.param[i].name:
                    continue  # a shared parameter is kept with its owner only
                raise CaffeError(f"{path}: layer '{layer.name}' has {len(group)} blobs, expected {len(layer.blobs)}")
            origin = f"{path}: layer '{layer.name}', blob {i}"
            found.append((layer, i, read_array(group, str(i), origin, blob.shape)))
    return found


def save_hdf5(net: 'Net', path: str, with_diff: bool = False) -> None:
    """Write the parameters as HDF5, whole or not at all; a shared parameter stands with its owner.

    Raises CaffeError where layers with parameters have the same name, which such a file cannot tell apart.
    """
    owned = set(net.learnable.names)
    if len(owned) < len(net.learnable.names):
        twice = next(name for name, count in Counter(net.learnable.names).items() if count > 1)[0]
        raise CaffeError(f"{path}: several layers with parameters are named '{twice}', expected different names")
    with whole_hdf5(path) as file:
        for layer in net.layers:
            data = file.require_group(f'data/{layer.name}')
            for i, blob in enumerate(layer.blobs):
                if (layer.name, i) in owned:
                    data[str(i)] = blob.tensor.cpu().numpy()
                    if with_diff:
                        file[f'diff/{layer.name}/{i}'] = blob.grad.cpu().numpy()
