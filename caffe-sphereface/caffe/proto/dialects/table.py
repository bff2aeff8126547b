"""The two tables of this folder.

fields.tsv states the fields and enum values that the schemas of other Caffes have besides BVLC's and SphereFace's:
message, name, number, label, type, default, and the dialects that number it so. settings.tsv decides, for messages that
caffe.proto has too, what becomes of a field in a text: `ignored` changes no number, `unless` is accepted with the value
stated and refused with others, `refused` changes numbers and is not implemented here. Fields of fields.tsv without such
a line are refused. Lines for the message * hold for fields of no known schema whose name their pattern fits.
"""

import csv
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Field(NamedTuple):
    """A field or enum value of the schemas of `dialects`; `message` names what it belongs to, `label` may be `enum`."""

    message: str
    field: str
    number: int
    label: str
    type: str
    default: str
    dialects: tuple[str, ...]


class Setting(NamedTuple):
    """What becomes of a field or enum value in a text: `treatment` is ignored, unless (`value`) or refused."""

    message: str
    field: str
    treatment: str
    value: str
    dialects: tuple[str, ...]
    reason: str


_FOLDER = Path(__file__).parent


def _rows(name: str) -> list[list[str]]:
    with (_FOLDER / name).open(encoding='utf-8', newline='') as file:
        lines = csv.reader(file, delimiter='\t', quoting=csv.QUOTE_NONE)
        next(lines)
        return list(lines)


@cache
def fields() -> list[Field]:
    """Every line of fields.tsv."""
    return [
        Field(message, field, int(number), label, kind, default, tuple(dialects.split(',')))
        for message, field, number, label, kind, default, dialects in _rows('fields.tsv')
    ]


@cache
def dialects_of() -> dict[tuple[str, str], list[str]]:
    """{(message, field): the dialects that have a field of that name, in the table's order}."""
    found: dict[tuple[str, str], list[str]] = {}
    for field in fields():
        known = found.setdefault((field.message, field.field), [])
        known.extend(name for name in field.dialects if name not in known)
    return found


@cache
def setting(message: str, field: str) -> Setting | None:
    """The Setting of a field or enum value, by its name or else by a pattern; None without one."""
    exact = settings().get((message, field))
    if exact or (message, field) in dialects_of():
        return exact
    return next((line for (where, name), line in settings().items() if where == '*' and fnmatch(field, name)), None)


@cache
def settings() -> dict[tuple[str, str], Setting]:
    """{(message, field or enum value): Setting} of settings.tsv."""
    return {
        (message, field): Setting(message, field, treatment, value, tuple(dialects.split(',')), reason)
        for message, field, treatment, value, dialects, reason in _rows('settings.tsv')
    }


def plain(name: str) -> str:
    """A layer type or the name of its parameter in small letters alone, as forks differ in capitals and underscores."""
    return name.replace('_', '').lower()


def types_named(field: str, message: str) -> set[str]:
    """The layer types, in plain letters, that the field of LayerParameter and its message may belong to."""
    return {plain(field.removesuffix('_param')), plain(message.removesuffix('Parameter').removesuffix('Paramter'))}
