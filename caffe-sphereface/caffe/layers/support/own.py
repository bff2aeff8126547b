"""Imports the modules of layers of one's own, whose `@register` makes their types known."""

import sys
from importlib import import_module, util
from types import ModuleType

from caffe.errors import CaffeError, first_line
from caffe.proto import own_layers
from caffe.proto.own_layers import OwnModule


def import_own_layers() -> None:
    """Import every module of own layers; what fails is told where a net is read or built."""
    for module in own_layers.found.modules:
        try:
            _import(module)
        except Exception as error:
            problem = error if isinstance(error, CaffeError) else f'{type(error).__name__}: {first_line(error)}'
            own_layers.note(CaffeError(f'{module.path}: cannot be imported ({problem})'))


def _import(module: OwnModule) -> ModuleType:
    if module.name:
        return import_module(module.name)
    name = f'caffe_layers_{module.path.stem}'
    if name in sys.modules:
        raise CaffeError(f'{sys.modules[name].__file__} has this name, too, expected another one')
    spec = util.spec_from_file_location(name, module.path)
    assert spec is not None and spec.loader is not None
    made = sys.modules[name] = util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
