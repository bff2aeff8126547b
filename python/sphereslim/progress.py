"""Progress bars: on a terminal one that moves, in a file or a pipe a line now and then."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

_SECONDS = 10  # between the lines of a bar that is not looked at


def bar(iterable: Iterable[Any] | None = None, desc: str | None = None, leave: bool = True, **how: Any) -> tqdm:
    """A tqdm over `iterable`; where stderr is no terminal it prints lines, a passing bar (`leave` False) only late."""
    if not is_live():
        how |= {'file': _Lines(), 'mininterval': _SECONDS, 'delay': 0 if leave else _SECONDS}
    return tqdm(iterable, desc, leave=leave, **how)


def counted(desc: str, unit: str) -> Callable[..., tqdm]:
    """A function (results, total, done=0) that wraps a stream of results by a bar, `done` of `total` before them."""
    return lambda results, total, done=0: bar(results, desc, total=total, initial=done, unit=unit)


def is_live() -> bool:
    """Whether somebody looks at the bars while they move."""
    return sys.stderr.isatty()


class _Lines:
    """What tqdm writes over and over in one line, as lines of stderr."""

    encoding = 'ascii'  # of the bar itself: files are read with anything

    def write(self, text: str) -> None:
        text = text.strip()
        if text:
            sys.stderr.write(f'{text}\n')

    def flush(self) -> None:
        sys.stderr.flush()
