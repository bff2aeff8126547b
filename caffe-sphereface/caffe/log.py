"""Log lines in the form of glog: severity, date, time, thread, source, message, on standard error.

GLOG_minloglevel (0 info, 1 warning, 2 error) hides lines below a level, as it does for genuine Caffe.
"""

import os
import sys
import threading
import types
from datetime import datetime

_state = {'level': int(os.environ.get('GLOG_minloglevel') or 0), 'muted': False}


def init_log(level=0, stderr=True):
    """Show lines from `level` on; `stderr` False turns them off."""
    _state['level'] = int(level)
    _state['muted'] = not stderr


def info(source, message):
    """Log at level info; `source` is the `file:line` that parsers of Caffe's logs look for."""
    _write(0, 'I', source, message)


def warning(source, message):
    """Log at level warning."""
    _write(1, 'W', source, message)


def shows_info():
    """Whether lines at level info are shown, so that the work of making many can be saved."""
    return _state['level'] <= 0 and not _state['muted']


def number(value):
    """A number as C++ streams print it: six significant digits."""
    return f'{float(value):g}'


def _write(level, letter, source, message):
    if level < _state['level'] or _state['muted']:
        return
    now = datetime.now()
    print(f'{letter}{now:%m%d %H:%M:%S.%f} {threading.get_native_id():>5} {source}] {message}', file=sys.stderr,
          flush=True)


class _CallableModule(types.ModuleType):
    """Lets `caffe.log('text')` log a line, as pycaffe's function of that name, while this stays a module."""

    def __call__(self, text):
        info('_caffe', text)


sys.modules[__name__].__class__ = _CallableModule
