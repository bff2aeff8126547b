"""A stand-in for the pycaffe of a genuine build: the project's engine behind the names that every pycaffe has.

Whatever is not in `contract` fails as it would with a genuine build: attributes, modules, and conveniences of vectors.
STANDIN_WITHOUT names layer types and solver types, with commas, that this build does not have.
"""

import contract
import renamed

renamed.hide_modules('caffe', ['caffe.proto', 'caffe.proto.caffe_pb2'])
_engine = renamed.load('_engine')
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
