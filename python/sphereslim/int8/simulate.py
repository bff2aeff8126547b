"""A net as a reader in int8 computes it, in layers that the project's own Caffe runs, trains and exports."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sphereslim.engine import caffe_pb2
from sphereslim.int8.calibration import STEPS
from sphereslim.int8.points import int8_type
from sphereslim.net.messages import copy_of


def simulated(
    net: caffe_pb2.NetParameter,
    blobs: Mapping[str, tuple[float, float]],
    layers: Collection[str],
    reader: str,
    learn: bool = False,
) -> caffe_pb2.NetParameter:
    """The net with `blobs` {name: (low, high)} rounded where they are made, and `layers` multiplying in int8.

    ncnn keeps blobs in float32 and rounds what those layers read: they read a rounded copy, whatever else reads the
    blob the blob itself. The weights of the net are its weights. With `learn` the ranges learn in training, at the
    net's rate.
    """
    result = copy_of(net)
    del result.layer[:]
    for layer in net.layer:
        made = result.layer.add()
        made.CopyFrom(layer)
        if layer.name in layers:
            made.type = int8_type(layer) or layer.type
            made.bottom[0] = _rounded(layer.bottom[0], reader)
        for blob in layer.top:
            if blob in blobs:
                low, high = blobs[blob]
                result.layer.add(
                    name=f'{blob}/int8',
                    type='FakeQuantize',
                    bottom=[blob],
                    top=[_rounded(blob, reader)],
                    param=[{'lr_mult': float(learn), 'decay_mult': 0}],
                    fake_quantize_param={'low': low, 'high': high, 'steps': STEPS[reader]},
                )
    return result


def _rounded(blob: str, reader: str) -> str:
    """The name of a blob once it is rounded."""
    return f'{blob}/int8' if reader == 'ncnn' else blob
