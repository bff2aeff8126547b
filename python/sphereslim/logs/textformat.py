"""Protobuf text as a log prints it, read without a schema and tolerating a torn end."""

import re
from typing import Any

TOKEN = re.compile(r'#[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[{}<>:\[\],;]|[^\s{}<>:"\'\[\],;]+')

Fields = dict[str, list[Any]]  # {field: its values}, a value a str or such a dict


def parse(text: str) -> Fields:
    """{field: [values]} of protobuf text; a value is a str, or such a dict for a nested message."""
    root: Fields = {}
    stack = [root]
    field = None
    for token in TOKEN.findall(text):
        if token[0] in '#:,;[]':
            continue
        if token in '{<':
            stack.append({})
            if field is not None:
                stack[-2].setdefault(field, []).append(stack[-1])
            field = None
        elif token in '}>':
            stack = stack[:-1] or [root]
            field = None
        elif field is None:
            field = token
        else:
            stack[-1].setdefault(field, []).append(token.strip('"\''))
            field = None
    return root


def one(message: Fields, field: str, default: Any = None) -> Any:
    """The last value of a field as protobuf reads a repeated optional field, or `default`."""
    values = message.get(field)
    return values[-1] if values else default


def number(message: Fields, field: str, default: float | None = None) -> Any:
    """The field as a float, or `default` when absent or unreadable."""
    try:
        return float(one(message, field, default))
    except (TypeError, ValueError):
        return default
