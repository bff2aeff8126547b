"""Convolutions and inner products that ncnn computes in int8, and its calibration table.

ncnn rounds what such a layer reads with one scale and its weights with one scale for each filter (of a depthwise or
grouped convolution: for each group), 127 divided by the largest absolute value. Everything else stays in float32. See
https://github.com/Tencent/ncnn/wiki/quantized-int8-inference.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError
from caffe.export.ncnn.graph import NcnnLayer, Weight

_MOST = 127
_SCALE_TERM = 8  # the parameter that says how many scales the .bin has
_SCALES = {'Convolution': 2, 'ConvolutionDepthWise': 1, 'InnerProduct': 2}
_GROUP = 7
_SLACK = 1 + 1e-4  # thresholds are written as decimals


@dataclass(frozen=True)
class Thresholds:
    """The largest absolute value that a layer reads, and that of each filter's weights."""

    bottom: float
    filters: np.ndarray


def read_thresholds(path: str) -> dict[str, Thresholds]:
    """{layer: its thresholds} from the calibration file that `sphereslim calibrate` wrote for ncnn.

    Raises CaffeError naming the file where it is none, or one for another reader.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        reader, blobs = content['reader'], content['blobs']
        found = {
            name: Thresholds(max(map(abs, blobs[layer['bottom']])), np.array(layer['thresholds'], np.float32))
            for name, layer in content['layers'].items()
        }
    except OSError as error:
        raise CaffeError(f'{path}: cannot be read ({error.strerror})') from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CaffeError(f'{path}: is no calibration file, expected what sphereslim calibrate writes') from None
    if reader != 'ncnn':
        raise CaffeError(f"{path}: was calibrated for '{reader}', expected ncnn, whose steps are others")
    return found


def to_int8(layers: Sequence[NcnnLayer], thresholds: Mapping[str, Thresholds], origin: str) -> str:
    """Give layers their weights and scales in int8, in place; the text of ncnn's calibration table.

    `thresholds` are by the names of Caffe's layers and come from the file `origin`, which messages name.
    """
    by_name = {layer.name: layer for layer in layers}
    scales = {}
    for name, found in thresholds.items():
        layer = by_name.get('_'.join(name.split()))
        if layer is None or layer.type not in _SCALES:
            raise CaffeError(f"{origin}: layer '{name}' is none of this net that ncnn computes in int8")
        scales[layer.name] = _rounded(layer, found, origin)
    filters = [f'{name}_param_0 {_numbers(weights)}' for name, (weights, _) in scales.items()]
    bottoms = [f'{name} {_numbers(bottom)}' for name, (_, bottom) in scales.items()]
    return '\n'.join([*filters, *bottoms, ''])


def _rounded(layer: NcnnLayer, found: Thresholds, origin: str) -> tuple[np.ndarray, np.ndarray]:
    """Round a layer's weights in place; its scales, those of the weights and that of the bottom."""
    weight, *bias = layer.weights
    values = weight.values
    rows = values.reshape(len(found.filters), -1) if values.size % max(1, len(found.filters)) == 0 else None
    if rows is None or len(found.filters) != layer.params[0] or np.any(np.abs(rows).max(1) > found.filters * _SLACK):
        raise CaffeError(f"{origin}: layer '{layer.name}' has other weights than were calibrated, calibrate again")
    parts = layer.params[_GROUP] if layer.type == 'ConvolutionDepthWise' else len(found.filters)
    assert isinstance(parts, int)
    reach = found.filters.reshape(parts, -1).max(1)
    scales = _scales(reach)
    whole = np.rint(values.reshape(parts, -1) * scales[:, None]).clip(-_MOST, _MOST).astype(np.int8)
    bottom = _scales(np.array([found.bottom], np.float32))
    layer.weights = [Weight(whole, flagged=True), *bias, Weight(scales), Weight(bottom)]
    layer.params[_SCALE_TERM] = _SCALES[layer.type]
    return scales, bottom


def _scales(reach: np.ndarray) -> np.ndarray:
    """127 / reach; 0, which ncnn takes for no values, where there are none."""
    return np.divide(_MOST, reach, out=np.zeros_like(reach), where=reach > 0)


def _numbers(values: np.ndarray) -> str:
    return ' '.join(np.format_float_positional(value, trim='0') for value in values)
