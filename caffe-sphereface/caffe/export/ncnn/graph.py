"""An ncnn net in the making, and the table of converters.

ncnn has no axis of the batch: a Caffe blob (N, C, H, W) is a value of 3 axes there, (N, C) one of 1 axis. A converter
may count on that for its bottoms and keeps it for its tops.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer

Shapes = list[tuple[int, ...]]  # of bottoms or tops
Number = int | float
Parameters = dict[int, Number | Sequence[Number]]  # by their numbers in ncnn

_FLOAT_FLAG = 0
_INT8_FLAG = 0x000D4B38
_ARRAY_KEY = -23300  # of array 0; that of array k is this - k
_LARGEST_RANK = 3  # behind the batch


@dataclass(frozen=True)
class Weight:
    """Values in the .bin. ncnn reads a flag for their type before some, and takes others for float without one."""

    values: np.ndarray
    flagged: bool = False

    def to_bytes(self) -> bytes:
        """The flag, if any, and the values, little-endian, filled up to a multiple of four bytes."""
        kind = '<i1' if self.values.dtype == np.int8 else '<f4'
        flag = np.uint32(_INT8_FLAG if self.values.dtype == np.int8 else _FLOAT_FLAG)
        content = np.ascontiguousarray(self.values, kind).tobytes()
        return (flag.astype('<u4').tobytes() if self.flagged else b'') + content + b'\0' * (-len(content) % 4)


@dataclass
class NcnnLayer:
    """A line of the .param and the layer's part of the .bin; parameters of default values may be left out."""

    type: str
    name: str
    bottoms: list[str]
    tops: list[str]
    params: Parameters = field(default_factory=dict)
    weights: list[Weight] = field(default_factory=list)

    def to_text(self) -> str:
        """The line."""
        ends = [len(self.bottoms), len(self.tops), *self.bottoms, *self.tops]
        params = [_parameter(key, value) for key, value in sorted(self.params.items())]
        return f'{self.type:<24} {self.name:<24} {" ".join(map(str, [*ends, *params]))}'


def _parameter(key: int, value: Number | Sequence[Number]) -> str:
    if isinstance(value, Sequence):
        return f'{_ARRAY_KEY - key}={",".join([str(len(value)), *map(_number, value)])}'
    return f'{key}={_number(value)}'


def _number(value: Number) -> str:
    """An integer as it is; a float as the shortest text that gives the same 32 bits, in the form that marks floats."""
    return np.format_float_scientific(np.float32(value), trim='0') if isinstance(value, float) else str(value)


Converter = TypeVar('Converter', bound=Callable[..., list[str]])
_converters: dict[str, Callable[..., list[str]]] = {}


def converts(*types: str) -> Callable[[Converter], Converter]:
    """Decorator: this function (graph, layer, x, shapes, tops) converts layers of these types.

    `x` names the values of the bottoms, `shapes` and `tops` are the Caffe shapes of bottoms and tops; it returns the
    names of the tops' values.
    """

    def add(function: Converter) -> Converter:
        _converters.update(dict.fromkeys(types, function))
        return function

    return add


def converted_types() -> list[str]:
    """The sorted types of layers that have a converter."""
    return sorted(_converters)


def converter_of(layer: Layer) -> Callable[..., list[str]]:
    """The converter of a layer's type; CaffeError where there is none."""
    if layer.type not in _converters:
        layer.error(f'has no form in ncnn, expected a net for inference of: {", ".join(converted_types())}')
    return _converters[layer.type]


class NcnnGraph:
    """Collects ncnn layers. Values that only this export makes are called `<layer>/<part>`."""

    def __init__(self) -> None:
        self.layers: list[NcnnLayer] = []
        self.prefix = ''

    def op(
        self,
        kind: str,
        x: str | Sequence[str],
        params: Parameters | None = None,
        weights: Sequence[Weight] = (),
        part: str = '',
        tops: int = 1,
    ) -> list[str]:
        """Add a layer; the names of its tops. The one without a `part` has the name of the Caffe layer."""
        name = f'{self.prefix}/{part}' if part else self.prefix
        made = [f'{name}/{i}' if tops > 1 else f'{name}/{kind}' for i in range(tops)]
        bottoms = [x] if isinstance(x, str) else list(x)
        self.layers.append(NcnnLayer(kind, name, bottoms, made, dict(params or {}), list(weights)))
        return made

    def reshape(self, x: str, shape: Sequence[int], part: str = 'reshape') -> str:
        """`x` as a value of other axes, (C, H, W) or fewer; one size may be -1."""
        return self.op('Reshape', x, shape_parameters(shape), part=part)[0]

    def rename(self, value: str, name: str) -> None:
        """Call a value `name`."""
        for layer in self.layers:
            for ends in (layer.bottoms, layer.tops):
                ends[:] = [name if end == value else end for end in ends]

    def split(self, kept: Sequence[str] = ()) -> None:
        """Put a Split behind each value that several bottoms read: in ncnn every value has one reader."""
        readers: dict[str, list[tuple[NcnnLayer, int]]] = {}
        for layer in self.layers:
            for i, bottom in enumerate(layer.bottoms):
                readers.setdefault(bottom, []).append((layer, i))
        made = []
        for layer in self.layers:
            made.append(layer)
            for top in layer.tops:
                ends = readers.get(top, [])
                if len(ends) > 1:
                    copies = [f'{top}/split_{i}' for i in range(len(ends))]
                    made.append(NcnnLayer('Split', f'{top}/split', [top], copies))
                    for (reader, place), copy in zip(ends, copies):
                        reader.bottoms[place] = copy
        self.layers = made


def shape_parameters(shape: Sequence[int]) -> Parameters:
    """Sizes (C, H, W), or fewer, as Input, Reshape and MemoryData have them: 0 the last axis, 1 and 2 those before."""
    return {key: int(size) for key, size in zip((0, 1, 2), reversed(shape))}


def check_rank(layer: Layer, shapes: Shapes) -> None:
    """CaffeError where a blob has no place for a batch, or more axes than ncnn's values."""
    for shape in shapes:
        if not 2 <= len(shape) <= _LARGEST_RANK + 1:
            layer.error(f'has a blob of shape {shape}, ncnn expects a batch and 1 to {_LARGEST_RANK} axes behind it')


def behind_batch(layer: Layer, axis: int) -> int:
    """Caffe's axis as ncnn counts it; CaffeError for that of the batch."""
    if axis < 1:
        layer.error('works along the axis of the batch, which ncnn does not have')
    return axis - 1


def to_text(layers: Sequence[NcnnLayer]) -> str:
    """The .param of a net; CaffeError where a name is longer than ncnn reads."""
    blobs = sum(len(layer.tops) for layer in layers)
    for name in (end for layer in layers for end in (layer.name, *layer.bottoms, *layer.tops)):
        if len(name.encode()) > 255:
            raise CaffeError(f"'{name}': a name of more than 255 bytes, which ncnn does not read")
    return '\n'.join(['7767517', f'{len(layers)} {blobs}', *(layer.to_text() for layer in layers), ''])


def to_bytes(layers: Sequence[NcnnLayer]) -> bytes:
    """The .bin of a net."""
    return b''.join(weight.to_bytes() for layer in layers for weight in layer.weights)
