"""Files that matter are written whole or not at all."""

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from sphereslim.errors import SlimError


@contextmanager
def whole_file(path):
    """Yield a temporary path in the folder of `path`, which is made where it is missing.

    It replaces `path` when the block ends well; SlimError otherwise.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=path.suffix)
        os.close(handle)
        os.chmod(temporary, 0o644)
        yield temporary
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise SlimError(f'{path}: cannot be written ({error.strerror or error})') from None
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def cache_folder(name):
    """The folder `name` among what the workflow keeps in the user's cache (XDG_CACHE_HOME, by default ~/.cache)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'sphereslim' / name


def check_writable(*paths):
    """Make the folders of files that are to be written later, before the work for them is done; None is passed over.

    SlimError for the first one that could not be written.
    """
    for path in map(Path, filter(None, paths)):
        if path.is_dir():
            raise SlimError(f'{path}: is a folder, expected the name of a file to write')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise SlimError(f'{path}: cannot be written ({error.strerror})') from None


def read_bytes(path):
    """The content of a file; SlimError naming it otherwise."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SlimError(f'{path}: cannot be read ({error.strerror})') from None


def file_digest(*paths):
    """A short digest of the files' contents, to tell subjects apart."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(read_bytes(path))
    return digest.hexdigest()[:16]


def read_text(path, expected='text'):
    """The text of a file; SlimError naming it where it cannot be read or is no text, `expected` says of what."""
    try:
        return Path(path).read_text(encoding='utf-8-sig')
    except OSError as error:
        raise SlimError(f'{path}: cannot be read ({error.strerror})') from None
    except UnicodeDecodeError:
        raise SlimError(f'{path}: is not text, expected {expected}') from None


def write_bytes(path, content):
    """Write a binary file whole or not at all."""
    with whole_file(path) as temporary, open(temporary, 'wb') as file:
        file.write(content)


def write_json(path, values):
    """Write a JSON file whole or not at all."""
    write_bytes(path, (json.dumps(values, indent=1) + '\n').encode())


def read_json(path):
    """The content of a JSON file; SlimError naming it otherwise."""
    try:
        return json.loads(read_text(path, 'JSON'))
    except ValueError as error:
        raise SlimError(f'{path}: is not JSON ({error})') from None
