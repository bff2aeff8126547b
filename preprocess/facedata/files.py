"""Files that are either whole or not there."""

import os
from pathlib import Path


def write(path, content):
    """Write text or bytes to `path`, making its folder; an interrupted write leaves no half file under that name."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    data = content.encode() if isinstance(content, str) else bytes(content)
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
