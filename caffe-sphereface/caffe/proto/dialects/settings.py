"""Fields of other Caffes in a prototxt: those that change no number are taken out of the text, others are refused."""

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from caffe import log
from caffe.errors import CaffeError
from caffe.proto.dialects import table
from caffe.proto.error_position import layer_around

_TOKEN = re.compile(r"""\#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[-+\w.]+|[{}<>\[\]:;,]|\S""")
_NAME = re.compile(r'\w+', re.ASCII)


class _Malformed(Exception):
    """Text that protobuf's parser, which names the place better, is left to refuse."""


def without_settings(text: str, descriptor: Descriptor, origin: str | Path) -> str:
    """The prototxt `text` of a message without the settings of other Caffes that change no number.

    What is taken out becomes blanks, so that lines stay where they are; a warning names it. Raises CaffeError, which
    names `origin`, line, layer, field and the Caffes that have it, for a field that would change numbers.
    """
    walk = _Walk(text, origin)
    try:
        walk.message(descriptor, '')
    except (_Malformed, RecursionError):
        return text
    if walk.ignored:
        _warn(f'{origin}: {_told(walk.ignored, walk.precise)}')
    return walk.rest()


def _told(ignored: Counter[str], precise: set[str]) -> str:
    """What is ignored; `precise` are those that would have some layers computed with fewer than 32 bits."""
    plain, parts = [name for name in ignored if name not in precise], []
    change = 'they change' if len(plain) > 1 else 'it changes'
    for names, about in (
        (plain, f'without effect here, as {change} no number'),
        ([name for name in ignored if name in precise], 'computed in 32 bits here, whatever asks for fewer'),
    ):
        if names:
            counted = (f'{name} ({ignored[name]} times)' if ignored[name] > 1 else name for name in names)
            parts.append(f'{about}: {", ".join(counted)}')
    return '; '.join(parts)


@cache
def _warn(line: str) -> None:
    """A warning once: train and test nets of a solver are the same file."""
    log.warning('settings.py', line)


class _Stated(NamedTuple):
    """A field as a text states it, from `start` to `stop`; `field` is None for one that caffe.proto has not."""

    name: str
    field: FieldDescriptor | None
    values: list[str]
    start: int
    stop: int


class _Walk:
    """One pass over the tokens of a text, along the descriptors of caffe.proto."""

    def __init__(self, text: str, origin: str | Path) -> None:
        self.text, self.origin = text, origin
        self.tokens = [match for match in _TOKEN.finditer(text) if not match.group().startswith('#')]
        self.position = 0
        self.ignored: Counter[str] = Counter()
        self.precise: set[str] = set()  # those of them that ask for fewer bits
        self._spans: list[tuple[int, int]] = []

    def rest(self) -> str:
        """The text with blanks in place of all that is ignored."""
        parts: list[str] = []
        end = 0
        for start, stop in sorted(self._spans):
            parts += self.text[end:start], re.sub(r'[^\n]', ' ', self.text[start:stop])
            end = stop
        return ''.join(parts) + self.text[end:]

    def message(self, descriptor: Descriptor | None, path: str) -> None:
        """Walk over fields up to the end of their message; those of a `descriptor` None are not looked at."""
        while self._peek() not in ('', '}', '>'):
            start, name = self.tokens[self.position].start(), self._next()
            if not _NAME.fullmatch(name):
                raise _Malformed
            if self._peek() == ':':
                self._next()
            field = descriptor.fields_by_name.get(name) if descriptor else None
            values = self._value(field.message_type if field else None, f'{path}{name}.')
            if self._peek() in (',', ';'):
                self._next()
            if descriptor:
                stop = self.tokens[self.position - 1].end()
                self._judge(descriptor, _Stated(name, field, values, start, stop), path)

    def _judge(self, descriptor: Descriptor, stated: '_Stated', outer: str) -> None:
        name, field, values, start, stop = stated
        path = outer + name
        key = None
        if field is None:
            key = _plain(descriptor), name
        elif field.enum_type:
            known = field.enum_type.values_by_name
            unknown = [value for value in values if _NAME.fullmatch(value) and value not in known]
            key = (_plain(field.enum_type), unknown[0]) if unknown else None
        if key is None or not self._is_accepted(key, values, path, start):
            return
        shown = _short(path) if field is None else f'{_short(path)} {key[1]}'
        self.ignored[shown] += 1
        setting = table.setting(*key)
        if setting and setting.reason.startswith('precision'):
            self.precise.add(shown)
        self._spans.append((start, stop))

    def _is_accepted(self, key: tuple[str, str], values: list[str], path: str, start: int) -> bool:
        """Whether a fork is known to have the field or enum value `key`, and it changes no number."""
        setting = table.setting(*key)
        if setting and setting.treatment == 'ignored':
            return True
        if setting and setting.treatment == 'unless' and all(_same(value, setting.value) for value in values):
            return True
        if setting or key in table.dialects_of():
            self._refuse(setting, f'{_short(path)} {" ".join(values)}'.strip()[:120], key, start)
        return False

    def _refuse(self, setting: table.Setting | None, shown: str, key: tuple[str, str], start: int) -> None:
        line = self.text.count('\n', 0, start) + 1
        layer = layer_around(self.text, start)
        why = f' ({setting.reason})' if setting else ''
        if setting and setting.treatment == 'unless':
            why += f', expected {setting.value}'
        forks = setting.dialects if setting else table.dialects_of()[key]
        raise CaffeError(
            f'{self.origin}:{line}: {layer + ": " if layer else ""}{shown}: not implemented{why}; '
            f'forks that have it: {", ".join(forks)}'
        )

    def _value(self, descriptor: Descriptor | None, path: str) -> list[str]:
        """Walk over a value, or a list of values; the texts of those that are no messages."""
        if self._peek() == '[':
            self._next()
            values: list[str] = []
            while self._peek() != ']':
                values += self._value(descriptor, path)
                if self._peek() == ',':
                    self._next()
            self._next()
            return values
        token = self._next()
        if token in ('{', '<'):
            self.message(descriptor, path)
            if self._next() not in ('}', '>'):
                raise _Malformed
            return []
        if token in ('}', '>', ']', ':', ',', ';'):
            raise _Malformed
        while token[0] in '"\'' and self._peek()[:1] in ('"', "'"):  # one string in parts
            self._next()
        return [token.strip('"\'')]

    def _peek(self) -> str:
        return self.tokens[self.position].group() if self.position < len(self.tokens) else ''

    def _next(self) -> str:
        if self.position == len(self.tokens):
            raise _Malformed
        self.position += 1
        return self.tokens[self.position - 1].group()


def _short(path: str) -> str:
    """A field's path without the layer it is in."""
    return re.sub(r'^layers?\.', '', path)


def _plain(descriptor: Descriptor | EnumDescriptor) -> str:
    """A message's or enum's name without the package."""
    return descriptor.full_name.removeprefix('caffe.')


def _same(value: str, expected: str) -> bool:
    """Whether two texts state the same value, numbers in any form."""
    try:
        return float(value) == float(expected)
    except ValueError:
        return value == expected
