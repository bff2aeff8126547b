"""One process at a time in a folder, or at a file."""

import fcntl
from contextlib import contextmanager
from pathlib import Path

from sphereslim.errors import SlimError


@contextmanager
def only_one(folder):
    """Hold a folder's lock for the block; SlimError when another process holds it. It ends with the process."""
    with _held(Path(folder) / '.lock', folder):
        yield


@contextmanager
def only_one_at(path):
    """As `only_one`, for a file that is written to; it is made where it is missing."""
    with _held(path, path):
        yield


@contextmanager
def _held(path, named):
    with open(path, 'a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SlimError(f'{named}: another process is at work there') from None
        yield
