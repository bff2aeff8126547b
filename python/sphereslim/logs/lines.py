"""Lines of a log file of any size: plain or gzip, any encoding, whole or cut off anywhere; glog's messages in them.

glog begins a message with `I0522 21:55:16.278669 34682 solver.cpp:45] `, with or without a year.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sphereslim.errors import SlimError

LONGEST_LINE = 1 << 16
HALF_WRITTEN_TAIL = re.compile(r'[^\s:=(]*$')
BYTE_ORDER_MARKS = ((b'\xff\xfe', 'utf-16'), (b'\xfe\xff', 'utf-16'), (b'\xef\xbb\xbf', 'utf-8-sig'))
PREFIX = re.compile(r'([IWEF])(\d{8}|\d{4}) (\d\d):(\d\d):(\d\d)(\.\d+)?\s+(\d+) [^\s\]]+:\d+\] ?')
A_LEAP_YEAR = 2000
HALF_A_YEAR = 183 * 86400


class LogError(SlimError):
    """A log or curve file that cannot be used; the message is one line naming the file and what was expected."""


def fatal_message(line: str) -> str:
    """What a line of glog's at level fatal says, nothing for any other: after it a genuine Caffe prints its stack."""
    found = PREFIX.match(line)
    return line[found.end() :].strip() if found and found[1] == 'F' else ''


def reason_of(output: str) -> str:
    """Why a command of Caffe's failed, from what it printed: the last fatal message, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next(filter(None, map(fatal_message, reversed(lines))), lines[-1] if lines else 'no output')


def read_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of the log at `path` without their ends, never holding more than one line.

    A last line without a line end may stop inside a number, so its last word is left out.
    Raises LogError for a file that is missing, empty, not text, or a gzip file broken before its first line.
    """
    with _open_text(path) as text:
        seen = False
        while True:
            try:
                line = text.readline(LONGEST_LINE)
            except (EOFError, OSError, zlib.error) as error:
                if not seen:
                    raise LogError(f'{path}: broken gzip file, nothing could be read ({error})') from error
                return
            if not line:
                break
            seen = True
            yield complete_part(line)
        if not seen:
            raise LogError(f'{path}: empty, expected the log of a Caffe training')


def complete_part(line: str) -> str:
    """`line` without its end; when it has none, also without its last word, which may be half-written."""
    if line.endswith('\n') or len(line) >= LONGEST_LINE:
        return line.rstrip('\n')
    return HALF_WRITTEN_TAIL.sub('', line)


def _open_text(path: str | Path) -> io.TextIOWrapper:
    path = Path(path)
    if path.is_dir():
        raise LogError(f'{path}: is a folder, expected a log file')
    try:
        binary: Any = open(path, 'rb')
        start = binary.read(4096)
        if start[:2] == b'\x1f\x8b':
            binary.seek(0)
            binary = gzip.open(binary)
            start = _first_bytes_of_gzip(binary, path)
        binary.seek(0)
    except OSError as error:
        raise LogError(f'{path}: {error.strerror or error}, expected a log file') from error
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), 'utf-8')
    if encoding != 'utf-16' and _is_binary(start):
        binary.close()
        raise LogError(f'{path}: not a text file, expected the log of a Caffe training')
    return io.TextIOWrapper(binary, encoding, errors='replace')


def _first_bytes_of_gzip(binary: Any, path: str | Path) -> bytes:
    try:
        return binary.read1(4096)
    except (EOFError, OSError, zlib.error) as error:
        raise LogError(f'{path}: broken gzip file, nothing could be read ({error})') from error


def _is_binary(start: bytes) -> bool:
    odd = sum(byte < 32 and byte not in (7, 8, 9, 10, 12, 13, 27) for byte in start)
    return odd > 0.05 * len(start)


class Message(NamedTuple):
    """One message: its severity letter, writing thread, time in seconds (None without a prefix) and text."""

    severity: str | None
    thread: int | None
    time: float | None
    text: str


class Clock:
    """Times of prefixes as seconds that keep growing over New Year when the prefix has no year."""

    def __init__(self) -> None:
        self.year = A_LEAP_YEAR
        self.last: float | None = None
        self._days: dict[tuple[str, int], float | None] = {}

    def seconds(self, date: str, hour: str, minute: str, second: str, fraction: str | None) -> float | None:
        """Seconds since an arbitrary moment, or None for a date or time that does not exist."""
        midnight = self._midnight(date)
        if midnight is None:
            return None
        time = midnight + 3600 * int(hour) + 60 * int(minute) + int(second) + float(fraction or 0)
        if len(date) == 4 and self.last is not None and time < self.last - HALF_A_YEAR:
            self.year += 1
            return self.seconds(date, hour, minute, second, fraction)
        self.last = time
        return time

    def _midnight(self, date: str) -> float | None:
        """Seconds at which a date begins, None for one that does not exist; remembered, as all lines ask."""
        key = date, self.year
        if key not in self._days:
            year, month_day = (int(date[:4]), date[4:]) if len(date) == 8 else (self.year, date)
            try:
                day = datetime(year, int(month_day[:2]), int(month_day[2:]))
                self._days[key] = (day - datetime(A_LEAP_YEAR, 1, 1)).total_seconds()
            except ValueError:
                self._days[key] = None
        return self._days[key]


def messages(line: str, clock: Clock) -> list[Message]:
    """Split a line into messages: usually one, several where threads wrote into one line."""
    found = list(PREFIX.finditer(line))
    if not found:
        return [Message(None, None, None, line)]
    head = line[: found[0].start()]
    result = [Message(None, None, None, head)] if head.strip() else []
    ends = [match.start() for match in found[1:]] + [len(line)]
    for match, end in zip(found, ends):
        severity, *moment, thread = match.groups()
        result.append(Message(severity, int(thread), clock.seconds(*moment), line[match.end() : end]))
    return result
