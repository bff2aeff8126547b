"""Which layer a position in a prototxt belongs to, found in the text, as what cannot be parsed has no message."""

import re
from collections.abc import Iterator

from google.protobuf.text_format import ParseError

_MARKS = re.compile(r'#[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[{}<>]')
_LAYER = re.compile(r'\blayers?\s*:?\s*$')


def layer_of_error(text: str, error: ParseError) -> str:
    """What `layer_around` gives for the line and column where `text` cannot be parsed, '' where these are unknown."""
    line, column = error.GetLine(), error.GetColumn()
    if line is None or column is None:
        return ''
    return layer_around(text, sum(len(before) + 1 for before in text.split('\n')[: line - 1]) + column - 1)


def layer_around(text: str, position: int) -> str:
    """ "layer 'NAME' (TYPE)" of the block around a position (an index of `text`), or '' outside of layers."""
    for start, end in _layer_blocks(text):
        if start <= position < end:
            name, kind = (_field(text[start:end], key) for key in ('name', 'type'))
            return f"layer '{name}' ({kind})"
    return ''


def _layer_blocks(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every outermost block that follows the word layer or layers; an unclosed one ends the text."""
    depth, start = 0, None
    for mark in _MARKS.finditer(text):
        if mark.group() in '{<':
            if not depth:
                start = mark.start() if _LAYER.search(text, max(0, mark.start() - 40), mark.start()) else None
            depth += 1
        elif mark.group() in '}>':
            depth -= 1
            if not depth and start is not None:
                yield start, mark.end()
    if depth > 0 and start is not None:
        yield start, len(text) + 1  # what is missing at the end is missing in it


def _field(block: str, key: str) -> str:
    """The first value of a field of a layer, '' where it has none."""
    found = re.search(rf'\b{key}\s*:\s*(?:"([^"]*)"|\'([^\']*)\'|(\w+))', block)
    return next((value for value in found.groups() if value), '') if found else ''
