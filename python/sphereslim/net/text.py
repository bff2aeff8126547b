"""Messages as the text a person would write: short messages on one line, a blank line between sections."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_ONE_LINE = 88
_SOLVER_FIRST = ['net', 'train_net', 'test_net', 'test_iter', 'test_interval', 'type', 'base_lr', 'lr_policy', 'gamma',
                 'power', 'stepsize', 'stepvalue', 'max_iter']  # fmt: skip


def to_text(message: Message, comment: str = '') -> str:
    """A NetParameter or SolverParameter as prototxt, under `comment` as `#` lines; weights (`blobs`) are left out."""
    return '\n'.join([*comment_lines(comment), *field_lines(message)]) + '\n'


def comment_lines(comment: str) -> list[str]:
    """A text as `#` lines."""
    return [f'# {line}'.rstrip() for line in comment.splitlines()]


def field_lines(message: Message) -> list[str]:
    """The lines of a message's fields, in the schema's order."""
    lines = []
    for field, value in sorted(message.ListFields(), key=_position):
        if field.name == 'blobs':
            continue
        for item in value if _is_repeated(value) else [value]:
            lines.extend(_field(field, item))
    return lines


def _position(entry: tuple[FieldDescriptor, Any]) -> int:
    """Fields come in the schema's order, those that a person puts first in a solver before the others."""
    field, _ = entry
    first = _SOLVER_FIRST if field.containing_type.name == 'SolverParameter' else []
    return first.index(field.name) - len(first) if field.name in first else field.number


def _is_repeated(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, '__len__')


def _field(field: FieldDescriptor, value: Any) -> list[str]:
    if field.message_type is None:
        return [f'{field.name}: {_scalar(field, value)}']
    inner = field_lines(value)
    line = f'{field.name} {{ {" ".join(inner)} }}' if inner else f'{field.name} {{ }}'
    if len(line) <= _ONE_LINE:
        return [line]
    return [f'{field.name} {{', *(f'  {text}' for text in inner), '}']


def _scalar(field: FieldDescriptor, value: Any) -> str:
    if field.cpp_type == field.CPPTYPE_FLOAT and np.isfinite(value):
        return np.format_float_positional(np.float32(value), trim='-')
    out = io.StringIO()
    text_format.PrintFieldValue(field, value, out)
    return out.getvalue()
