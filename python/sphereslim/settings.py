"""Settings files: JSON whose names and values are checked before anything starts."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sphereslim.errors import SlimError
from sphereslim.files import read_json


def read_settings(path: str | Path, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The values of a JSON settings file; SlimError as `checked`."""
    return checked(read_json(path), kinds, path)


def checked(values: Any, kinds: Mapping[str, str], where: str | Path) -> dict[str, Any]:
    """The dict `values` once it is known to hold what `kinds` says: {name: a key of KINDS}.

    A name that ends in `?` may be missing. SlimError, begun by `where`, names what is missing, unknown or of another
    kind.
    """
    known = {name.rstrip('?'): kind for name, kind in kinds.items()}
    if not isinstance(values, dict):
        raise SlimError(f'{where}: {_shown(values)} is not settings by name, expected {{"{next(iter(known))}": …}}')
    missing = sorted(name for name in kinds if name[-1] != '?' and name not in values)
    unknown = sorted(set(values) - set(known))
    if missing or unknown:
        raise SlimError(
            f'{where}: missing {missing or "nothing"}, unknown {unknown or "nothing"}; '
            f'expected values of: {", ".join(sorted(known))}'
        )
    for name, value in values.items():
        expected, fits = KINDS[known[name]]
        if not fits(value):
            raise SlimError(f'{where}: {name} is {_shown(value)}, expected {expected}')
    return values


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'count': ('a whole number of at least 1', lambda value: _is_whole(value) and value > 0),
    'whole': ('a whole number of at least 0', _is_whole),
    'number': ('a number', _is_number),
    'positive': ('a number above 0', lambda value: _is_number(value) and value > 0),
    'switch': ('true or false', lambda value: isinstance(value, bool)),
    'text': ('a text', _is_text),
    'wholes': ('a list of whole numbers', _is_list_of(_is_whole)),
    'numbers': ('a list of numbers', _is_list_of(_is_number)),
    'texts': ('a list of texts', _is_list_of(_is_text)),
    'settings': ('settings by name in { }', lambda value: isinstance(value, dict)),
}
