"""Do weights belong to a network?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.weights import blob_array, blob_shape, weight_layers


class WeightAxis(Protocol):
    """An axis of a weight blob that runs over known channels, as `channels.trace.Axis`."""

    @property
    def layer(self) -> str: ...

    @property
    def blob(self) -> int: ...

    @property
    def axis(self) -> int: ...

    @property
    def ids(self) -> npt.NDArray[Any]: ...

    @property
    def block(self) -> bool: ...

    def place(self, shape: tuple[int, ...]) -> int: ...


def check_same_net(
    weights: caffe_pb2.NetParameter, names: Collection[str], net: str, path: str | Path | None = None
) -> None:
    """SlimError unless a NetParameter of weights holds one of the layers `names`; Caffe would ignore all of it.

    `net` says in the error whose layers they are, `path` where the weights are from.
    """
    if names and not weight_layers(weights).keys() & set(names):
        told = f'{path}: holds' if path else 'the weights hold'
        raise SlimError(f'{told} none of the layers of {net}, expected the weights of this net')


def check_weights(
    weights: caffe_pb2.NetParameter, axes: Collection[WeightAxis], path: str | Path | None = None
) -> None:
    """SlimError, begun by the `path` of the weights, if they are those of another net or no numbers.

    `axes` are all of the net. The error names the first layer whose shape does not fit, or which
    holds NaN or infinity.
    """
    begin, layers = f'{path}: ' if path else '', weight_layers(weights)
    check_same_net(weights, {axis.layer for axis in axes}, 'the net', path)
    for axis in axes:
        if axis.layer in layers:
            _check_axis(axis, layers[axis.layer].blobs, begin)
    for name, layer in layers.items():
        if not all(np.isfinite(blob_array(blob)).all() for blob in layer.blobs):
            raise SlimError(
                f"{begin}weights of layer '{name}' are not all numbers, "
                'expected those of a training that did not explode'
            )


def _check_axis(axis: WeightAxis, blobs: Sequence[caffe_pb2.BlobProto], begin: str) -> None:
    if len(blobs) <= axis.blob:
        raise SlimError(
            f"{begin}weights of layer '{axis.layer}' are {len(blobs)} blobs, "
            f'expected at least {axis.blob + 1}: they belong to another net'
        )
    shape = blob_shape(blobs[axis.blob])
    place = axis.place(shape)
    size = shape[place] if place < len(shape) else 0
    if size % len(axis.ids) or not size or size != len(axis.ids) and not axis.block:
        expected = f'a multiple of {len(axis.ids)}' if axis.block else len(axis.ids)
        raise SlimError(
            f"{begin}weights of layer '{axis.layer}', blob {axis.blob}, have shape {shape}, "
            f'expected {expected} along axis {axis.axis}: they belong to another net'
        )


def check_fits(net: caffe_pb2.NetParameter, prototxt: str | Path) -> None:
    """Raises SlimError unless every layer of the `prototxt` that has weights finds blobs of its shapes in `net`.

    Layers that only `net` has are fine, as they are for Caffe: training leaves some behind.
    """
    given = {name: [blob_shape(blob) for blob in layer.blobs] for name, layer in weight_layers(net).items()}
    wanted = {
        name: [tuple(blob.data.shape) for blob in blobs]
        for name, blobs in caffe.Net(str(prototxt), caffe.TEST).params.items()
    }
    for name, shapes in wanted.items():
        found = given.get(name, [])
        if [_core(shape) for shape in found] != [_core(shape) for shape in shapes]:
            raise SlimError(f'{prototxt}: layer {name} expects blobs {_text(shapes)}, the weights have {_text(found)}')


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Leading ones are padding of the old four-dimensional shapes."""
    return next((shape[i:] for i, extent in enumerate(shape) if extent > 1), ())


def _text(shapes: Iterable[tuple[int, ...]]) -> str:
    return ', '.join('x'.join(map(str, shape)) for shape in shapes) or 'none'
