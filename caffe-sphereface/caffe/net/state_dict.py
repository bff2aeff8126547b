"""Parameters of a PyTorch state_dict into a net, by a map of names.

A map is text, a line `LAYER MODULE` for each layer with parameters: the layer's name in the net and the module's in the
state_dict ("features.0" for "features.0.weight" and "features.0.bias"). `LAYER[I] KEY` gives one blob one tensor,
`LAYER -` leaves a layer as its fillers made it, `#` starts a comment.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe.blobs.blob import set_values
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer
from caffe.proto.files import read_bytes

if TYPE_CHECKING:
    from caffe.net.net import Net

_LINE = re.compile(r'(?P<layer>\S+?)(\[(?P<blob>\d+)\])?\s+(?P<source>\S+)')


def import_state_dict(net: 'Net', state_path: str, map_path: str) -> None:
    """Fill a net's parameters from the state_dict file `state_path` as the file `map_path` says.

    The file is unpickled with weights_only: it executes nothing. Raises CaffeError for a line, layer or tensor that
    does not fit, and where a layer with parameters has no line; the net is unchanged then.
    """
    tensors = read_state_dict(state_path)
    chosen: dict[tuple[str, int], np.ndarray | None] = {}
    for number, layer_name, blob, source in _read_map(map_path):
        where = f'{map_path}:{number}'
        layer = net.layer_dict.get(layer_name)
        if layer is None or not layer.blobs:
            raise CaffeError(f"{where}: the net has no layer '{layer_name}' with parameters")
        if source != '-':
            chosen.update(_sources(layer, blob, source, tensors, f'{where}, {state_path}'))
        else:
            chosen.update({(layer_name, i): None for i in range(len(layer.blobs))})
    missing = [
        f'{layer.name}[{i}]' for layer in net.layers for i in range(len(layer.blobs)) if (layer.name, i) not in chosen
    ]
    if missing:
        raise CaffeError(f'{map_path}: has no line for {", ".join(missing)}, expected one each ("LAYER -" to leave it)')
    for (name, i), values in chosen.items():
        if values is not None:
            set_values(net.layer_dict[name].blobs[i], values)


def read_state_dict(path: str) -> dict[str, torch.Tensor]:
    """{name: tensor} of a file that torch.save wrote, nothing in it executed; a wrapping "state_dict" is opened."""
    read_bytes(path)
    try:
        loaded = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise CaffeError(f'{path}: is not a state_dict that can be read safely ({reason})') from None
    while isinstance(loaded, dict) and isinstance(loaded.get('state_dict', loaded.get('model')), dict):
        loaded = loaded.get('state_dict', loaded.get('model'))
    if not isinstance(loaded, dict) or not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise CaffeError(f'{path}: holds no tensors by name, expected a state_dict')
    return {str(key).removeprefix('module.'): value for key, value in loaded.items() if isinstance(value, torch.Tensor)}


def _read_map(path: str) -> Iterator[tuple[int, str, int | None, str]]:
    """Yield (line number, layer, blob index or None, source)."""
    for number, line in enumerate(read_bytes(path).decode(errors='replace').splitlines(), 1):
        text = line.split('#')[0].strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if not match:
            raise CaffeError(f"{path}:{number}: '{text}', expected LAYER MODULE or LAYER[BLOB] KEY")
        blob = match['blob']
        yield number, match['layer'], None if blob is None else int(blob), match['source']


def _sources(
    layer: Layer, blob: int | None, source: str, tensors: dict[str, torch.Tensor], where: str
) -> dict[tuple[str, int], np.ndarray]:
    """{(layer name, blob index): array of the blob's shape} of one line of the map."""
    if blob is not None:
        if blob >= len(layer.blobs):
            raise CaffeError(f"{where}: layer '{layer.name}' has {len(layer.blobs)} blobs, no number {blob}")
        return {(layer.name, blob): _fit(layer, blob, _tensor(tensors, source, where), source, where)}
    values = layer.blobs_of_module(lambda name: _tensor(tensors, f'{source}.{name}', where))
    return {(layer.name, i): _fit(layer, i, value, source, where) for i, value in enumerate(values)}


def _tensor(tensors: dict[str, torch.Tensor], key: str, where: str) -> np.ndarray:
    if key not in tensors:
        near = [name for name in tensors if name.split('.')[-1] == key.split('.')[-1]][:4]
        raise CaffeError(f"{where}: the state_dict has no '{key}', it has {', '.join(near or list(tensors)[:4])} …")
    return tensors[key].detach().to(torch.float32).numpy()


def _fit(layer: Layer, index: int, value: np.ndarray, source: str, where: str) -> np.ndarray:
    """`value` in the blob's shape; axes of length 1 may differ (a 1x1 convolution and an inner product)."""
    shape = layer.blobs[index].shape
    if [n for n in value.shape if n != 1] != [n for n in shape if n != 1]:
        raise CaffeError(
            f"{where}: '{source}' has shape {tuple(value.shape)} for blob {index} of layer "
            f"'{layer.name}' ({layer.type}), which has {shape}"
        )
    return np.ascontiguousarray(value).reshape(shape)
