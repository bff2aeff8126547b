"""Prune, substitute and quantize Caffe networks, driven by their prototxt.

The names below are the front door; `sphereslim.api` documents them with an example. Importing the package does nothing
else: the functions are loaded with their first use, the engine with the first thing that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphereslim.api import (
        Groups,
        InputForm,
        compress,
        evaluate,
        fold,
        prune,
        quantize,
        read_net,
        read_weights,
        refit,
        select,
        write_net,
        write_weights,
    )
    from sphereslim.errors import SlimError

__version__ = '1.0.0'
__all__ = [
    'Groups',
    'InputForm',
    'SlimError',
    'compress',
    'evaluate',
    'fold',
    'prune',
    'quantize',
    'read_net',
    'read_weights',
    'refit',
    'select',
    'write_net',
    'write_weights',
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module('sphereslim.api'), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
