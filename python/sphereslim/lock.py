"""One process at a time in a folder."""

import fcntl
from contextlib import contextmanager
from pathlib import Path

from sphereslim.errors import SlimError


@contextmanager
def only_one(folder):
    """Hold the folder's lock for the block; SlimError when another process holds it. It ends with the process."""
    with open(Path(folder) / '.lock', 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SlimError(f'{folder}: another process is at work there') from None
        yield
