"""A stand-in for the pycaffe of a genuine build: the project's engine behind the names that every pycaffe has.

Whatever is not in `contract` fails as it would with a genuine build: attributes, modules, and conveniences of vectors.
STANDIN_WITHOUT names layer types and solver types, with commas, that this build does not have.
"""

import os
from importlib import metadata

import contract
import renamed

renamed.hide_modules('caffe', ['caffe.proto', 'caffe.proto.caffe_pb2'])
os.environ.pop('CAFFE_LAYERS', None)  # no genuine build loads the layers of the project's own Caffe
_entry_points, metadata.entry_points = metadata.entry_points, lambda **_: ()
_engine = renamed.load('_engine')
metadata.entry_points = _entry_points
_without = contract.left_out()


def _publish():
    from facade import show

    for name in contract.MODULE:
        if name.removesuffix('Solver') not in _without:
            globals()[name] = show(getattr(_engine, name))


def layer_type_list():
    from facade import Vector

    return Vector([name for name in _engine.layer_type_list() if name not in _without])


_publish()
from caffe import proto  # noqa: E402, F401  (a pycaffe imports it on its own)
