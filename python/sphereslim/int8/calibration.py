"""The calibration file: which blobs and filters a reader in int8 rounds, and how far their steps reach.

JSON, written beside the folded net that it is about:

    {
     "format": 1,
     "net": "deploy.prototxt", "weights": "net.caffemodel",   folded and prepared for int8, beside this file
     "digest": "77c1…",                                       of those two
     "reader": "onnxruntime",                                 or "ncnn": what was calibrated for
     "method": "mse", "pictures": 128,
     "blobs": {"data": [-1.0, 0.992], "conv1": [-2.1, 4.3]},  every blob that is rounded: [low, high]
     "layers": {"conv1": {"bottom": "data", "thresholds": [0.31, 0.27, …]}},
     "float": {"fc": 0.013}                                   layers with weights that stay in float32
    }

- Each blob is made by one layer: the net has no layers in place. A blob has 256 values of the step (high − low) / 255,
  low ≤ 0 ≤ high, one of which is 0. For ncnn low is −high, and the step is high / 127: 127 / high is what its table
  calls the scale of a layer that reads the blob.
- `layers` are those that multiply in int8. `bottom` is the blob they read, always one of `blobs`. `thresholds` are the
  largest absolute weights, one for each filter (output) in order; its step is threshold / 127, and 127 / threshold is
  ncnn's scale of that filter. A filter of zeros has the threshold 0.
- For onnxruntime `blobs` also has what int8 layers make, and sums, means and maxima of such blobs; for ncnn, which
  computes all that in float32, only what int8 layers read.
- `float` says what each such layer alone costs in int8: the mean of 1 − cos of the outputs, or null where it was not
  measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import file_digest, read_json, write_json
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import read_caffemodel

FORMAT = 1
READERS = ('onnxruntime', 'ncnn')
STEPS = {'onnxruntime': 255, 'ncnn': 254}  # between the lowest and the highest value of a blob


@dataclass(frozen=True)
class Int8Layer:
    """A layer that multiplies in int8: the blob it reads, and the largest absolute weight of each filter."""

    bottom: str
    thresholds: list[float]


@dataclass(frozen=True)
class Calibration:
    """What the file holds, see above; `net` and `weights` are file names beside it."""

    net: str
    weights: str
    digest: str
    reader: str
    method: str
    pictures: int
    blobs: dict[str, tuple[float, float]]
    layers: dict[str, Int8Layer]
    float: dict[str, float | None]


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write a calibration file whole or not at all."""
    write_json(path, {'format': FORMAT, **asdict(calibration)})


def read_calibration(path: str | Path) -> tuple[Calibration, caffe_pb2.NetParameter, caffe_pb2.NetParameter]:
    """(the Calibration, net, weights) of a calibration file and the two files beside it.

    SlimError names the file where it is none, or where net or weights changed since.
    """
    values = read_json(path)
    calibration = _parsed(values, path)
    files = [Path(path).parent / name for name in (calibration.net, calibration.weights)]
    if file_digest(*files) != calibration.digest:
        raise SlimError(f'{path}: {files[0]} and {files[1]} changed since they were calibrated, calibrate again')
    net, weights = read_net(files[0]), read_caffemodel(files[1])
    _check_names(calibration, net, path)
    return calibration, net, weights


def _parsed(values: Any, path: str | Path) -> Calibration:
    try:
        if values.pop('format') != FORMAT:
            raise ValueError
        layers = {name: Int8Layer(**layer) for name, layer in values.pop('layers').items()}
        blobs = {name: (float(low), float(high)) for name, (low, high) in values.pop('blobs').items()}
        result = Calibration(**values, layers=layers, blobs=blobs)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise SlimError(f'{path}: is no calibration of format {FORMAT}, expected what calibrate wrote') from None
    if result.reader not in READERS:
        raise SlimError(f"{path}: reader '{result.reader}', expected one of: {', '.join(READERS)}")
    return result


def _check_names(calibration: Calibration, net: caffe_pb2.NetParameter, path: str | Path) -> None:
    layers, blobs = {layer.name for layer in net.layer}, {top for layer in net.layer for top in layer.top}
    for name, layer in calibration.layers.items():
        if name not in layers or layer.bottom not in calibration.blobs:
            raise SlimError(f"{path}: layer '{name}' or its bottom '{layer.bottom}' is not of this net")
    for blob in calibration.blobs:
        if blob not in blobs:
            raise SlimError(f"{path}: no layer of {calibration.net} makes blob '{blob}'")
