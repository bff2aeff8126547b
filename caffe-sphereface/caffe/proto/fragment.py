"""Fragments of proto2 text: the messages of layers of one's own, and their fields of LayerParameter.

    message GainParameter {
      optional float start = 1 [default = 1];
    }
    extend LayerParameter {
      optional GainParameter gain_param = 20001;
    }

A fragment may have messages and enums, nested ones included, and `extend LayerParameter`; `syntax` and `package` lines
are passed over. What it extends LayerParameter by becomes fields like all others, without the brackets of extensions.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto

from caffe.errors import CaffeError, reason

NUMBERS = range(20000, 30000)  # of LayerParameter, for the fields of layers of one's own

_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|\s+|("(?:\\.|[^"\\\n])*"|[-+\w.]+|\S)', re.S)
_LABELS = {name: number for name, number in FieldDescriptorProto.Label.items()}
_TYPES = {name.removeprefix('TYPE_').lower(): number for name, number in FieldDescriptorProto.Type.items()}
_NO_SCALARS = ('group', 'message', 'enum')


def read_fragment(path: Path) -> DescriptorProto:
    """The fragment as one message: its messages and enums as nested ones, its fields of LayerParameter as fields.

    Raises CaffeError, which names file and line, for anything else that it states.
    """
    try:
        text = path.read_text('utf-8')
    except (OSError, ValueError) as error:
        raise CaffeError(f'{path}: cannot be read ({reason(error)})') from None
    return _Parser(text, path).fragment()


class _Parser:
    """One pass over the tokens of a fragment."""

    def __init__(self, text: str, path: Path) -> None:
        self.path, self.line, self.token = path, 1, ''
        self._tokens = self._split(text)
        self._next()

    def _split(self, text: str) -> Iterator[str]:
        for match in _TOKEN.finditer(text):
            if match.group(1):
                self.line = text.count('\n', 0, match.start()) + 1
                yield match.group(1)

    def _next(self) -> str:
        """The present token, behind which the next one becomes the present one."""
        token, self.token = self.token, next(self._tokens, '')
        return token

    def _expect(self, pattern: str, meant: str) -> str:
        if not re.fullmatch(pattern, self.token):
            raise CaffeError(f"{self.path}:{self.line}: '{self.token}', expected {meant}")
        return self._next()

    def fragment(self) -> DescriptorProto:
        whole = DescriptorProto(name=self.path.stem)
        while self.token:
            word = self._expect('message|enum|extend|syntax|package|;', 'message, enum or extend LayerParameter')
            if word == 'extend':
                self._expect(r'(caffe\.)?LayerParameter', 'LayerParameter')
                self._block(whole)
            elif word in ('syntax', 'package'):
                while self._next() not in (';', ''):
                    pass
            elif word != ';':
                self._declaration(word, whole)
        for field in whole.field:
            if field.number not in NUMBERS:
                raise CaffeError(
                    f"{self.path}: field '{field.name}' of LayerParameter has number {field.number}, "
                    f'expected {NUMBERS.start} to {NUMBERS.stop - 1}'
                )
        return whole

    def _declaration(self, word: str, around: DescriptorProto) -> None:
        name = self._expect(r'[A-Za-z]\w*', f'the name of the {word}')
        if word == 'message':
            self._block(around.nested_type.add(name=name))
        else:
            self._enum(around.enum_type.add(name=name))

    def _block(self, message: DescriptorProto) -> None:
        self._expect('{', '{')
        while self.token != '}':
            word = self._expect('optional|required|repeated|message|enum|;', 'optional, required, repeated or }')
            if word in ('message', 'enum'):
                self._declaration(word, message)
            elif word != ';':
                self._field(message.field.add(label=_LABELS[f'LABEL_{word.upper()}']))
        self._next()

    def _field(self, field: FieldDescriptorProto) -> None:
        kind = self._expect(r'[A-Za-z][\w.]*', 'a type')
        if kind in _TYPES and kind not in _NO_SCALARS:
            field.type = _TYPES[kind]
        else:
            field.type_name = kind
        field.name = self._expect(r'[A-Za-z]\w*', 'the name of a field')
        field.number = self._number()
        if self.token == '[':
            self._next()
            while self._option(field) == ',':
                pass
        self._expect(';', ';')

    def _option(self, field: FieldDescriptorProto) -> str:
        """Read one option; the token behind it, which is `,` or `]`."""
        name = self._expect('default|packed', 'default or packed')
        self._expect('=', '=')
        if name == 'packed':
            field.options.packed = self._expect('true|false', 'true or false') == 'true'
        else:
            field.default_value = self._expect(r'"[^\n]*"|[-+\w.]+', 'a value').strip('"')
        return self._expect(r'[],]', ', or ]')

    def _enum(self, enum: EnumDescriptorProto) -> None:
        self._expect('{', '{')
        while self.token != '}':
            name = self._expect(r'[A-Za-z]\w*', 'the name of a value or }')
            enum.value.add(name=name, number=self._number())
            self._expect(';', ';')
        self._next()

    def _number(self) -> int:
        self._expect('=', '=')
        return int(self._expect(r'\d{1,9}', 'a number'))
