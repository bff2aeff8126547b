"""Files that matter: written whole or not at all, by one process at a time, and continued where a run stopped."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from sphereslim.errors import SlimError


@contextmanager
def whole_file(path: str | Path) -> Iterator[str]:
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


def cache_folder(name: str) -> Path:
    """The folder `name` among what the workflow keeps in the user's cache (XDG_CACHE_HOME, by default ~/.cache)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'sphereslim' / name


def check_writable(*paths: str | Path | None, endings: Sequence[str] = ()) -> None:
    """Meet before the work what would fail after it: SlimError for the first file that cannot be written.

    None is passed over. Where `endings` are given, such as .png, a name must have one of them. Nothing is made.
    """
    for path in [Path(path) for path in paths if path]:
        if path.is_dir():
            raise SlimError(f'{path}: is a folder, expected the name of a file to write')
        if endings and path.suffix.lower() not in endings:
            raise SlimError(f'{path}: expected a name that ends in {", ".join(endings)}')
        _check_room(path, path.parent)


def check_folder(path: str | Path) -> None:
    """As `check_writable`, for a folder that files are to be written into."""
    _check_room(Path(path), Path(path))


def _check_room(path: Path, folder: Path) -> None:
    """SlimError naming `path` unless files can be made in `folder`, or folders where it is to be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SlimError(f'{path}: cannot be written ({error.strerror})') from None


def read_bytes(path: str | Path) -> bytes:
    """The content of a file; SlimError naming it otherwise."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SlimError(f'{path}: cannot be read ({error.strerror})') from None


def file_digest(*paths: str | Path) -> str:
    """A short digest of the files' contents, to tell subjects apart."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(read_bytes(path))
    return digest.hexdigest()[:16]


def read_text(path: str | Path, expected: str = 'text') -> str:
    """The text of a file; SlimError naming it where it cannot be read or is no text, `expected` says of what."""
    try:
        return Path(path).read_text(encoding='utf-8-sig')
    except OSError as error:
        raise SlimError(f'{path}: cannot be read ({error.strerror})') from None
    except UnicodeDecodeError:
        raise SlimError(f'{path}: is not text, expected {expected}') from None


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a binary file whole or not at all."""
    with whole_file(path) as temporary, open(temporary, 'wb') as file:
        file.write(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, values: object) -> None:
    """Write a JSON file whole or not at all."""
    write_bytes(path, (json.dumps(values, indent=1) + '\n').encode())


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; SlimError naming it otherwise."""
    try:
        return json.loads(read_text(path, 'JSON'))
    except ValueError as error:
        raise SlimError(f'{path}: is not JSON ({error})') from None


def check_claim(mark: Path, known: object, settings: object, refusal: str) -> None:
    """SlimError unless the folder of `mark` is to be made, or was made with these settings.

    `mark` is the file that tells the settings of what the folder holds, `known` those that it tells, None where it is
    not there; `refusal` is what is said where they are others. A folder with files but no mark is somebody else's.
    """
    folder = mark.parent
    if known is not None and known != settings:
        raise SlimError(f'{folder}: {refusal}')
    if known is None and folder.exists() and any(folder.iterdir()):
        raise SlimError(f'{folder}: holds other files; name an empty or new folder')


@contextmanager
def only_one(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made where it is missing; SlimError when another process holds it.

    The lock ends with the process. Nothing is left of it, nor of a folder that was made for a block that failed before
    it wrote anything there.
    """
    path = Path(folder) / '.lock'
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _held(path, folder):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    except BaseException:
        _remove_empty(made)
        raise


@contextmanager
def only_one_at(path: str | Path) -> Iterator[None]:
    """As `only_one`, for a file that is written to; it is made where it is missing."""
    with _held(path, path):
        yield


@contextmanager
def _held(path: str | Path, named: str | Path) -> Iterator[None]:
    file = _locked(path, named)
    while not _is_at(file, path):  # who held it before has removed it, and another may have made it anew
        file.close()
        file = _locked(path, named)
    with file:
        yield


def _locked(path: str | Path, named: str | Path) -> TextIO:
    file = open(path, 'a')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SlimError(f'{named}: another process is at work there') from None
    return file


def _is_at(file: TextIO, path: str | Path) -> bool:
    """Whether an open file is still the one of this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove these folders, the inner ones first, up to one that holds anything."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


class ResultsFile:
    """A JSON file of results by name that a run continues where it stopped: {"subject": …, "results": {name: …}}.

    `subject` says what was measured on what; SlimError where the file holds the results of another. Without a subject
    the file holds nothing but the results. It is written whole with every result that is kept.
    """

    def __init__(self, path: str | Path, subject: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        self.subject = None if subject is None else json.loads(json.dumps(subject))
        self.results: dict[str, Any] = self._read() if self.path.exists() else {}

    def keep(self, name: str, value: object) -> None:
        """Take in a result and write the file."""
        self.results[name] = value
        known = self.results if self.subject is None else {'subject': self.subject, 'results': self.results}
        write_json(self.path, known)

    def result(self, name: str, compute: Callable[[], object]) -> Any:
        """The result of a name: the one that is known, or what `compute()` gives, which is kept."""
        if name not in self.results:
            self.keep(name, compute())
        return self.results[name]

    def _read(self) -> dict[str, Any]:
        stored = read_json(self.path)
        results = stored.get('results') if self.subject is not None and isinstance(stored, dict) else stored
        if not isinstance(results, dict):
            raise SlimError(f'{self.path}: is no file of results, expected one that this command wrote')
        if self.subject is not None:
            self._check_subject(self.subject, stored.get('subject'))
        return results

    def _check_subject(self, asked: dict[str, Any], known: object) -> None:
        known = known if isinstance(known, dict) else {}
        for name in dict.fromkeys([*asked, *known]):
            if known.get(name) != asked.get(name):
                raise SlimError(
                    f'{self.path}: holds results of another subject ({name} {known.get(name)}, asked for '
                    f'{asked.get(name)}); expected another file or the same settings'
                )
