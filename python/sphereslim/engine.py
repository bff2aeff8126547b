"""Which Caffe the workflow runs on: the project's own, or the genuine build that CAFFE_ROOT names.

`caffe` and `caffe_pb2` are loaded when something in them is first used, which takes seconds. SlimError then, where
CAFFE_ROOT names no build that this Python can import.
"""

import contextlib
import io
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sphereslim.errors import SlimError


class _LoadedWhenUsed(ModuleType):
    """A module of the engine, imported when one of its attributes is first asked for."""

    def __getattr__(self, name: str) -> object:
        return getattr(sys.modules.get(self.__name__) or _load(self.__name__), name)


class Blob(Protocol):
    """What every pycaffe's blobs have: values and gradients of one shape, seen as arrays."""

    @property
    def data(self) -> np.ndarray: ...

    @property
    def diff(self) -> np.ndarray: ...

    @property
    def count(self) -> int: ...

    def reshape(self, *shape: int) -> None: ...


if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    import caffe
    from caffe.layers.support.registry import Layer
    from caffe.proto import caffe_pb2
else:
    caffe, caffe_pb2 = _LoadedWhenUsed('caffe'), _LoadedWhenUsed('caffe.proto.caffe_pb2')

__all__ = [
    'Blob',
    'caffe',
    'caffe_command',
    'caffe_pb2',
    'caffe_root',
    'fields_beyond_bvlc',
    'layer_class',
    'named_blobs',
    'without_settings',
]


def caffe_root() -> Path | None:
    """The folder that CAFFE_ROOT names, or None when it is unset or empty."""
    root = os.environ.get('CAFFE_ROOT')
    return Path(root) if root else None


def caffe_command() -> list[str]:
    """The `caffe` command as a list of words: that of CAFFE_ROOT when set, else this interpreter's own."""
    root = caffe_root()
    return [str(root / 'build' / 'tools' / 'caffe')] if root else [sys.executable, '-m', 'caffe']


def _load(name: str) -> ModuleType:
    """Import a module of the Caffe in use. One that is loaded already is it: this is a Python layer of its nets."""
    # every net logs its construction at level info, hundreds of lines among a command's own; read when glog is loaded
    os.environ.setdefault('GLOG_minloglevel', '1')
    root = caffe_root()
    if not root or 'caffe' in sys.modules:
        return import_module(name)
    for path, what in ((root / 'python' / 'caffe', 'folder'), (root / 'build' / 'tools' / 'caffe', 'command')):
        if not path.exists():
            raise SlimError(
                f'CAFFE_ROOT={root}: no {what} {path.relative_to(root)} there, expected the root of a '
                'built Caffe with pycaffe'
            )
    return _import_from((root / 'python').resolve(), name)


def _import_from(folder: Path, name: str) -> ModuleType:
    """Import a module of the pycaffe in `folder`, which stands first on the path from then on."""
    sys.path.insert(0, str(folder))
    said = io.StringIO()  # NumPy prints tracebacks of its own where a build is of another NumPy
    try:
        with contextlib.redirect_stderr(said):
            schema = import_module('caffe.proto.caffe_pb2')
            if not Path(str(schema.__file__)).is_relative_to(folder):
                raise ImportError(f'caffe.proto.caffe_pb2 is not in it but in {schema.__file__}')
            found = import_module(name)
    except (ImportError, TypeError, SystemError, AttributeError) as error:
        sys.path.remove(str(folder))
        raise SlimError(f'CAFFE_ROOT={caffe_root()}: its pycaffe {_reason(folder, error, said.getvalue())}') from None
    sys.stderr.write(said.getvalue())
    return found


def _reason(folder: Path, error: Exception, said: str) -> str:
    """Why a pycaffe could not be imported: not built, of another NumPy, or a TypeError of an old protoc's messages."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    if not any((folder / 'caffe').glob('_caffe*.so')):
        return f'is not built: no _caffe.so in {folder / "caffe"}, expected what `make pycaffe` puts there'
    if isinstance(error, SystemError) or 'numpy' in f'{text} {said}'.lower():
        return (
            f'was built with another NumPy than {np.__version__} of {sys.executable}: build it with the headers of '
            'this NumPy first in PYTHON_INCLUDE, or put numpy==1.26.4, opencv-python-headless==4.11.0.86 and '
            'scipy==1.13.1 into a constraints file (CONSTRAINTS=mine.txt bash run_all.sh)'
        )
    return f'cannot be imported by {sys.executable} ({text}); docs/genuine-caffe.md says what it needs'


def layer_class(name: str) -> 'type[Layer] | None':
    """The class of a layer type, whose attributes say what can be done with it.

    None on a genuine Caffe, and for a type that the project's own Caffe has not.
    """
    registry = None if caffe_root() else _load('caffe.layers.support.registry')
    return registry.layer_class(name) if registry and name in registry.layer_types() else None


def fields_beyond_bvlc(layer: 'caffe_pb2.LayerParameter') -> list[str]:
    """The fields that a LayerParameter states and BVLC's schema lacks, such as `pooling_param.ceil_mode`.

    None on a genuine Caffe, whose schema is BVLC's.
    """
    if caffe_root():
        return []
    from caffe.proto.dialects.schema import message_class

    return list(_beyond(layer, message_class('bvlc', 'LayerParameter').DESCRIPTOR))


def _beyond(message: 'Message', known: 'Descriptor') -> 'Iterator[str]':
    for field, value in message.ListFields():
        if field.name not in known.fields_by_name:
            yield field.name
        elif hasattr(value, 'ListFields'):
            inner = known.fields_by_name[field.name].message_type
            yield from (f'{field.name}.{name}' for name in _beyond(value, inner))


def without_settings(text: str, descriptor: 'Descriptor', origin: str | Path) -> str:
    """A prototxt without the settings of other Caffes that change no number; as it is for a genuine Caffe.

    Raises caffe.CaffeError for a field that would change numbers.
    """
    if caffe_root():
        return text
    from caffe.proto.dialects import settings

    return settings.without_settings(text, descriptor, origin)


def named_blobs(content: bytes) -> 'caffe_pb2.NetParameter':
    """The NetParameter in the bytes of any fork's caffemodel: names, types and blobs of its layers alone.

    Raises protobuf's DecodeError; a genuine Caffe reads the whole.
    """
    net = _load('caffe.proto.caffe_pb2').NetParameter
    if caffe_root():
        return net.FromString(content)
    from caffe.proto.dialects.schema import weights_class

    weights = weights_class().FromString(content)
    weights.DiscardUnknownFields()
    return net.FromString(weights.SerializeToString())
