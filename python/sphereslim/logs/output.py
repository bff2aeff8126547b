"""Write result files whole or not at all."""

import os
import tempfile
from pathlib import Path

from sphereslim.logs.source import LogError


def write_file(path, data):
    """Write bytes through a temporary name in the same folder. Raises LogError when that cannot be done."""
    path = Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise LogError(f'{path}: cannot be written ({error.strerror})') from error
