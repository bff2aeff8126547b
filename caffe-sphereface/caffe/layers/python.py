"""Layers written in Python: `type: "Python"`, and `caffe.Layer`, the base that users derive from.

A prototxt with a Python layer is a program: loading it imports and runs the named module from sys.path.
"""

import importlib
from typing import Any, NoReturn

from caffe.blobs.blob import Blob
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer as EngineLayer
from caffe.layers.support.registry import register
from caffe.proto import caffe_pb2


class Layer:
    """The base class of a user's layer.

    Before `setup` it gets `param_str` (the text of the prototxt), `phase` (caffe.TRAIN or caffe.TEST) and `blobs`, to
    which `self.blobs.add_blob(*shape)` adds parameters. Subclasses override the four methods; `bottom` and `top` are
    sequences of blobs with numpy `data` and `diff`. Subclasses need not call this class's __init__.
    """

    type = 'Python'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check what is given and create parameters; called once."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the tops their shapes with `top[i].reshape(*dims)`; called before every forward."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Write `top[i].data` from `bottom[i].data`."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Write `bottom[i].diff` from `top[i].diff` where `propagate_down[i]`."""


@register('Python')
class PythonLayer(EngineLayer):
    """Runs the class `python_param.layer` of the module `python_param.module`.

    Attributes that this class does not have are those of the user's object, so that `net.layers[i].its_method()` works.
    """

    # what the user's code does with its blobs is its own affair
    in_place = True
    _own = frozenset(('param', 'phase', 'blobs', 'param_propagate_down', 'needs_backward', 'user'))
    no_capture = 'is a program, which may do anything'

    def __init__(self, param: caffe_pb2.LayerParameter, phase: int = 0) -> None:
        super().__init__(param, phase)
        python = param.python_param
        if not python.module or not python.layer:
            self.error('has no module or no layer, expected python_param { module: "…" layer: "…" }')
        self.user = self._create(python.module, python.layer)

    def _create(self, module: str, name: str) -> Any:
        try:
            cls = getattr(importlib.import_module(module), name)
        except Exception as error:
            self._fail(f'{module}.{name} cannot be imported from sys.path', error)
        try:
            return cls(self.param)
        except Exception as error:
            self._fail(f'{module}.{name} cannot be created', error)

    def __getattr__(self, name: str) -> Any:
        if name in PythonLayer._own:
            raise AttributeError(name)
        return getattr(self.user, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in PythonLayer._own:
            super().__setattr__(name, value)
        else:
            setattr(self.user, name, value)

    def _fail(self, what: str, error: Exception) -> NoReturn:
        text = ' '.join(str(error).split())
        raise CaffeError(f"layer '{self.name}' (Python): {what}: {type(error).__name__}: {text}") from error

    def _call(self, method: str, *args: Any) -> None:
        try:
            getattr(self.user, method)(*args)
        except Exception as error:
            python = self.param.python_param
            self._fail(f'{python.module}.{python.layer}.{method} failed', error)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        # layers written for the pycaffe of 2015 read param_str_
        self.user.param_str = self.user.param_str_ = self.param.python_param.param_str
        self.user.phase = self.phase
        self.user.blobs = self.blobs
        self._call('setup', bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._call('reshape', bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._call('forward', bottom, top)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self._call('backward', top, propagate_down, bottom)
