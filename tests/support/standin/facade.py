"""Objects of the engine with the attributes of the contract and no others; what they give is shown likewise."""

import types
from collections import OrderedDict

import _engine
import contract
import numpy as np
from _engine.blobs.blob import Blob
from _engine.layers.support.registry import Layer
from _engine.solvers import Solver

_PLAIN = (str, bytes, int, float, bool, type(None), np.ndarray, np.generic, types.FunctionType, types.MethodType)


class Vector:
    """What pycaffe gives for a vector of C++: length, index, slice, iteration, membership, and no comparison."""

    __hash__ = None

    def __init__(self, values):
        self._values = list(values)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return iter(self._values)

    def __contains__(self, value):
        return value in self._values

    def __getitem__(self, index):
        found = self._values[index]
        return Vector(found) if isinstance(index, slice) else found

    def __eq__(self, other):
        raise AttributeError('a vector of pycaffe does not compare with a list or tuple')


class Facade:
    """One object of the engine; the subclasses say by `_kind` which attributes it has."""

    _kind = _real_class = None

    def __init__(self, *args, **named):
        object.__setattr__(self, '_real', self._real_class(*map(hide, args), **{k: hide(v) for k, v in named.items()}))

    def __getattr__(self, name):
        if name not in contract.CLASSES[self._kind].split():
            raise AttributeError(f'pycaffe promises no {self._kind}.{name}')
        return show(getattr(self._real, name), vectors=_is_vector(self._kind, name))

    def __setattr__(self, name, value):
        raise AttributeError(f'pycaffe does not let {self._kind}.{name} be set')


def _facade(kind, real_class):
    return type(kind, (Facade,), {'_kind': kind, '_real_class': real_class})


_KINDS = {
    real: _facade(kind, real)
    for kind, real in (
        ('Net', _engine.Net),
        ('Blob', Blob),
        ('Layer', Layer),
        ('Solver', Solver),
        ('SolverParameter', _engine.proto.caffe_pb2.SolverParameter),
    )
}


def _is_vector(kind, name):
    """Whether C++ hands the list over as its own; pycaffe makes plain lists of the names of inputs and outputs."""
    return (kind, name) not in (('Net', 'inputs'), ('Net', 'outputs'))


def show(value, vectors=True):
    """What the workflow gets to see of a value of the engine."""
    if isinstance(value, type):
        return _shown_class(value)
    for real, facade in _KINDS.items():
        if isinstance(value, real):
            shown = object.__new__(facade)
            object.__setattr__(shown, '_real', value)
            return shown
    if isinstance(value, types.ModuleType):
        return value
    if isinstance(value, dict):
        return OrderedDict(
            (key, show(item, vectors=not isinstance(item, list) or not _names(item))) for key, item in value.items()
        )
    if callable(value):
        return lambda *args, **named: show(value(*map(hide, args), **{k: hide(v) for k, v in named.items()}))
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        items = [show(item) for item in value]
        return Vector(items) if vectors else items
    return value


def hide(value):
    """What the engine gets for a value of the workflow; a path that is no text is refused, as by C++."""
    if isinstance(value, Facade):
        return value._real
    if isinstance(value, dict):
        return {key: hide(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, Vector)):
        return [hide(item) for item in value]
    if not isinstance(value, _PLAIN):
        raise TypeError(f'pycaffe takes no {type(value).__name__} as an argument')
    return value


def _shown_class(real):
    if real in _KINDS:
        return _KINDS[real]
    return _facade('Solver', real) if issubclass(real, Solver) else real


def _names(values):
    return all(isinstance(value, str) for value in values)
