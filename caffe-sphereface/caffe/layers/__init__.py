"""Every layer type, one family per file, registered under its Caffe type name.

To users `caffe.layers` is also what writes networks: `caffe.layers.Convolution(bottom, num_output=4)` is a Top.
"""

import importlib
import pkgutil
from collections.abc import Callable

from caffe import net_spec
from caffe.layers.support.own import import_own_layers
from caffe.layers.support.registry import Layer, check_types, create_layer, layer_types, register

for _module in pkgutil.walk_packages(__path__, f'{__name__}.'):
    importlib.import_module(_module.name)
import_own_layers()


def __getattr__(name: str) -> Callable[..., net_spec.Top | tuple[net_spec.Top, ...] | net_spec.Function]:
    if not name[0].isupper():
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(net_spec.layers, name)


__all__ = ['Layer', 'check_types', 'create_layer', 'layer_types', 'register']
