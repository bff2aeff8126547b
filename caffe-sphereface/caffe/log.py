"""Log lines in the form of glog: severity, date, time, thread, source, message, on standard error.

GLOG_minloglevel (0 info, 1 warning, 2 error) hides lines below a level, as it does for genuine Caffe.
"""

import os
import socket
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import SupportsFloat, TextIO

from caffe.errors import reason
from caffe.process_state import state

_log = state.log


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Show lines from `level` on; `stderr` False turns them off."""
    _log.level = int(level)
    _log.muted = not stderr


def also_to(folder: str | None, program: str) -> None:
    """Write lines to a file in `folder`, too, that is named as glog names those of `program`; None writes none.

    The file is made with the first line, and PROGRAM.INFO leads to the newest.
    """
    _log.folder, _log.program, _log.file = folder, program, None


def info(source: str, message: str) -> None:
    """Log at level info; `source` is the `file:line` that parsers of Caffe's logs look for."""
    _write(0, 'I', source, message)


def warning(source: str, message: str) -> None:
    """Log at level warning."""
    _write(1, 'W', source, message)


@contextmanager
def warnings_only() -> Iterator[None]:
    """Hide lines at level info for the block, unless GLOG_minloglevel says what to show."""
    before = _log.level
    if not os.environ.get('GLOG_minloglevel'):
        _log.level = max(before, 1)
    try:
        yield
    finally:
        _log.level = before


def shows_info() -> bool:
    """Whether lines at level info are shown, so that the work of making many can be saved."""
    return _log.level <= 0 and not _log.muted


def number(value: SupportsFloat) -> str:
    """A number as C++ streams print it: six significant digits."""
    return f'{float(value):g}'


def _write(level: int, letter: str, source: str, message: str) -> None:
    if level < _log.level or _log.muted:
        return
    now = datetime.now()
    line = f'{letter}{now:%m%d %H:%M:%S.%f} {threading.get_native_id():>5} {source}] {message}'
    print(line, file=sys.stderr, flush=True)
    if _log.folder:
        _append(_log.folder, line, now)


def _append(folder: str, line: str, now: datetime) -> None:
    try:
        _log.file = _log.file or _open_file(folder, now)
        print(line, file=_log.file, flush=True)
    except OSError as error:
        _log.folder = None
        warning('log.py', f'{folder}: the log cannot be written there ({reason(error)}) and goes on without')


def _open_file(folder: str, now: datetime) -> TextIO:
    program, host = _log.program, socket.gethostname()
    name = f'{program}.{host}.{os.environ.get("USER", os.getuid())}.log.INFO.{now:%Y%m%d-%H%M%S}.{os.getpid()}'
    file = open(os.path.join(folder, name), 'a', errors='surrogateescape')
    print(f'Log file created at: {now:%Y/%m/%d %H:%M:%S}\nRunning on machine: {host}', file=file)
    link = os.path.join(folder, f'{program}.INFO')
    os.symlink(name, f'{link}.{os.getpid()}')
    os.replace(f'{link}.{os.getpid()}', link)
    return file


class _CallableModule(types.ModuleType):
    """Lets `caffe.log('text')` log a line, as pycaffe's function of that name, while this stays a module."""

    def __call__(self, text: str) -> None:
        info('_caffe', text)


sys.modules[__name__].__class__ = _CallableModule
