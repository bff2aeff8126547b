"""Every layer type, one family a file, registered under its Caffe type name."""

import importlib
import pkgutil

from caffe.layers.registry import Layer, create_layer, layer_types, register

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f'{__name__}.{_module.name}')

__all__ = ['Layer', 'create_layer', 'layer_types', 'register']
