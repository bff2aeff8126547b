"""What networks and solvers ask of a Caffe, held against the one in use before anything runs.

The files are read leniently: a Caffe without a layer has no field for its parameters either, and the layer's name says
more to the reader than the field's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import text_format
from google.protobuf.message import Message

from sphereslim.engine import caffe, caffe_pb2, caffe_root
from sphereslim.errors import SlimError
from sphereslim.net.prototxt import read_prototxt

# SolverParameter's old enum, whose names are not those of the types.
_OLD_SOLVERS = ('SGD', 'Nesterov', 'AdaGrad', 'RMSProp', 'AdaDelta', 'Adam')


Source: TypeAlias = 'str | Path | Message'  # the path of a prototxt, or its message


def check_engine(nets: Iterable[Source] = (), solvers: Iterable[Source] = ()) -> None:
    """SlimError unless the Caffe in use has every layer type of `nets` and the type of every one of `solvers`.

    Both are paths of prototxts or messages. The error names every type that is missing, with where it is needed.
    """
    known = set(caffe.layer_type_list())
    missing: dict[str, str] = {}
    for source in nets:
        for layer in _lenient(source, caffe_pb2.NetParameter()).layer:
            if layer.type not in known:
                missing.setdefault(f'layer type {layer.type}', f"{_where(source)}, layer '{layer.name}'")
    for source in solvers:
        solver = solver_type(_lenient(source, caffe_pb2.SolverParameter()))
        if not hasattr(caffe, f'{solver}Solver'):
            missing.setdefault(f'solver type {solver}', _where(source))
    if missing:
        needs = '; '.join(f'no {what} ({where})' for what, where in missing.items())
        hint = '; docs/genuine-caffe.md says which build to use' if caffe_root() else ''
        raise SlimError(f'{engine_name()} has {needs}{hint}')


def solver_type(solver: caffe_pb2.SolverParameter) -> str:
    """The type of a SolverParameter, such as 'SGD', whichever of the two fields says it."""
    if solver.HasField('solver_type') and not solver.HasField('type'):
        return _OLD_SOLVERS[solver.solver_type]
    return solver.type


def engine_name() -> str:
    """The Caffe in use, in words."""
    root = caffe_root()
    return f'the Caffe in CAFFE_ROOT={root}' if root else "the project's own Caffe"


def _where(source: Source) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    return f"net '{source.name}'" if isinstance(source, caffe_pb2.NetParameter) else 'its training'


def _lenient(source: Source, message: Message) -> Any:
    """A prototxt as far as the schema knows it; what is no prototxt at all is left to the reader that needs it."""
    if not isinstance(source, (str, Path)):
        return source
    try:
        return text_format.Parse(read_prototxt(source), message, allow_unknown_field=True)
    except (SlimError, text_format.ParseError):
        return message
