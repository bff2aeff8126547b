"""An ONNX graph in the making, and the table of converters."""

import numpy as np

from caffe.errors import CaffeError

OPSET = 17
_converters = {}  # type name -> [(class or None, function)], those with a class first


def converts(*types, of=None):
    """Decorator: this function (graph, layer, x, shapes, tops) converts layers of these types.

    `x` names the ONNX values of the bottoms, `shapes` and `tops` are the
    shapes of bottoms and tops; it returns the names of the tops' values. Where two layers have one type name, `of` is
    the class of those that it converts.
    """

    def add(function):
        for name in types:
            functions = _converters.setdefault(name, [])
            functions.insert(0 if of else len(functions), (of, function))
        return function

    return add


def converter_of(layer):
    """The converter of a layer's type; CaffeError where ONNX export does not know it."""
    if layer.type not in _converters:
        raise CaffeError(
            f"layer '{layer.name}' ({layer.type}): has no form in ONNX, expected a net for inference "
            f'of: {", ".join(sorted(_converters))}'
        )
    return next(function for of, function in _converters[layer.type] if of is None or isinstance(layer, of))


class Graph:
    """Collects nodes and constants under unique names."""

    def __init__(self, onnx):
        self._onnx = onnx
        self.nodes, self.constants, self._names = [], [], set()
        self.prefix = ''

    def reserve(self, name):
        """Keep a name for a net's input or output."""
        self._names.add(name)

    def _unique(self, hint):
        name, number = f'{self.prefix}/{hint}', 1
        while name in self._names:
            number += 1
            name = f'{self.prefix}/{hint}_{number}'
        self._names.add(name)
        return name

    def constant(self, values, hint='constant', kind=np.float32):
        """The name of a new constant."""
        name = self._unique(hint)
        self.constants.append(self._onnx.numpy_helper.from_array(np.asarray(values, kind, order='C'), name))
        return name

    def integers(self, values, hint='sizes'):
        """The name of a new constant of int64 values."""
        return self.constant(values, hint, np.int64)

    def op(self, kind, *inputs, outputs=1, **attributes):
        """Add a node; the name of its output, or the list of names of several."""
        names = [self._unique(kind if outputs == 1 else f'{kind}_{i}') for i in range(outputs)]
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def rename(self, value, name):
        """Give a value the reserved name `name`."""
        self.nodes.append(self._onnx.helper.make_node('Identity', [value], [name], name=f'{name}/output'))

    def reshape(self, value, shape):
        """`value` with other axes; the first is left open unless another one is -1 already, for any batch size."""
        shape = list(shape)
        if shape and -1 not in shape:
            shape[0] = -1
        return self.op('Reshape', value, self.integers(shape, 'shape'))

    def scaled(self, value, factor=1.0, offset=0.0):
        """factor · value + offset, without operations that change nothing."""
        if factor != 1:
            value = self.op('Mul', value, self.constant(factor, 'factor'))
        return self.op('Add', value, self.constant(offset, 'offset')) if offset else value


def parameter(blob):
    """A learned blob's values as a numpy array."""
    return blob.tensor.detach().cpu().contiguous().numpy()
