"""Lines of a log file of any size: plain or gzip, any encoding, whole or cut off anywhere."""

import gzip
import io
import re
import zlib
from pathlib import Path

from sphereslim.errors import SlimError

LONGEST_LINE = 1 << 16
HALF_WRITTEN_TAIL = re.compile(r'[^\s:=(]*$')
BYTE_ORDER_MARKS = ((b'\xff\xfe', 'utf-16'), (b'\xfe\xff', 'utf-16'), (b'\xef\xbb\xbf', 'utf-8-sig'))


class LogError(SlimError):
    """A log or curve file that cannot be used; the message is one line naming the file and what was expected."""


def read_lines(path):
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


def complete_part(line):
    """`line` without its end; when it has none, also without its last word, which may be half-written."""
    if line.endswith('\n') or len(line) >= LONGEST_LINE:
        return line.rstrip('\n')
    return HALF_WRITTEN_TAIL.sub('', line)


def _open_text(path):
    path = Path(path)
    if path.is_dir():
        raise LogError(f'{path}: is a folder, expected a log file')
    try:
        binary = open(path, 'rb')
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


def _first_bytes_of_gzip(binary, path):
    try:
        return binary.read1(4096)
    except (EOFError, OSError, zlib.error) as error:
        raise LogError(f'{path}: broken gzip file, nothing could be read ({error})') from error


def _is_binary(start):
    odd = sum(byte < 32 and byte not in (7, 8, 9, 10, 12, 13, 27) for byte in start)
    return odd > 0.05 * len(start)
