"""An ONNX graph in the making, and the table of converters."""

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer

OPSET = 17
# type name -> [(class or None, function)], those with a class first
_converters: dict[str, list[tuple[type[Layer] | None, Callable[..., list[str]]]]] = {}

Converter = TypeVar('Converter', bound=Callable[..., list[str]])
# of bottoms or tops
Shapes = list[tuple[int, ...]]


def converts(*types: str, of: type[Layer] | None = None) -> Callable[[Converter], Converter]:
    """Decorator: this function (graph, layer, x, shapes, tops) converts layers of these types.

    `x` names the ONNX values of the bottoms, `shapes` and `tops` are the
    shapes of bottoms and tops; it returns the names of the tops' values. Where two layers have one type name, `of` is
    the class of those that it converts.
    """

    def add(function: Converter) -> Converter:
        for name in types:
            functions = _converters.setdefault(name, [])
            functions.insert(0 if of else len(functions), (of, function))
        return function

    return add


def converted_types() -> list[str]:
    """The sorted types of layers that have a converter."""
    return sorted(_converters)


def converter_of(layer: Layer) -> Callable[..., list[str]]:
    """The converter of a layer's type, or what its class states; CaffeError where ONNX export does not know it."""
    if layer.to_onnx and layer.type not in _converters:
        return _as_its_class_says
    if layer.type not in _converters:
        raise CaffeError(
            f"layer '{layer.name}' ({layer.type}): has no form in ONNX, expected a net for inference "
            f'of: {", ".join(converted_types())}'
        )
    return next(function for of, function in _converters[layer.type] if of is None or isinstance(layer, of))


def _as_its_class_says(graph: 'Graph', layer: Layer, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    assert layer.to_onnx is not None
    return layer.to_onnx(graph, x, shapes, tops)


class Graph:
    """Collects nodes and constants under unique names."""

    def __init__(self, onnx: ModuleType) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names: set[str] = set()
        self.prefix = ''

    def reserve(self, name: str) -> None:
        """Keep a name for a net's input or output."""
        self._names.add(name)

    def _unique(self, hint: str) -> str:
        name, number = f'{self.prefix}/{hint}', 1
        while name in self._names:
            number += 1
            name = f'{self.prefix}/{hint}_{number}'
        self._names.add(name)
        return name

    def constant(self, values: Any, hint: str = 'constant', kind: type[np.generic] = np.float32) -> str:
        """The name of a new constant."""
        name = self._unique(hint)
        self.constants.append(self._onnx.numpy_helper.from_array(np.asarray(values, kind, order='C'), name))
        return name

    def integers(self, values: Iterable[int], hint: str = 'sizes') -> str:
        """The name of a new constant of int64 values."""
        return self.constant(values, hint, np.int64)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        return self._node(kind, inputs, [self._unique(kind)], attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node of several outputs; their names."""
        return self._node(kind, inputs, [self._unique(f'{kind}_{i}') for i in range(outputs)], attributes)

    def _node(self, kind: str, inputs: Sequence[str], names: list[str], attributes: dict[str, Any]) -> list[str]:
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names

    def maker(self, value: str) -> Any:
        """The node that makes a value; None for inputs and constants."""
        return next((node for node in reversed(self.nodes) if value in node.output), None)

    def value_of(self, constant: str) -> np.ndarray:
        """The values of a constant."""
        found = next(tensor for tensor in self.constants if tensor.name == constant)
        return self._onnx.numpy_helper.to_array(found)

    def rename(self, value: str, name: str) -> None:
        """Give a value the reserved name `name`."""
        self.nodes.append(self._onnx.helper.make_node('Identity', [value], [name], name=f'{name}/output'))

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """`value` with other axes; the first is left open unless another one is -1 already, for any batch size."""
        shape = list(shape)
        if shape and -1 not in shape:
            shape[0] = -1
        return self.op('Reshape', value, self.integers(shape, 'shape'))

    def scaled(self, value: str, factor: float = 1.0, offset: float = 0.0) -> str:
        """factor · value + offset, without operations that change nothing."""
        if factor != 1:
            value = self.op('Mul', value, self.constant(factor, 'factor'))
        return self.op('Add', value, self.constant(offset, 'offset')) if offset else value


def parameter(blob: Blob | torch.Tensor) -> np.ndarray:
    """A learned blob's values as a numpy array."""
    return (blob.tensor if isinstance(blob, Blob) else blob).detach().cpu().contiguous().numpy()
