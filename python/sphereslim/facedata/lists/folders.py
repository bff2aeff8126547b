"""Folders of pictures: a folder per person, or any tree."""

from pathlib import Path

from sphereslim.data.pictures import is_picture, pictures_below
from sphereslim.errors import SlimError


def people(folder: str | Path) -> dict[str, list[str]]:
    """{person: sorted paths below `folder`, like 'Ada/Ada_0001.jpg'} of a tree with one folder per person.

    Raises SlimError when there is no such folder or no picture in it.
    """
    found = {}
    for person in sorted(_existing(folder).iterdir()):
        if person.is_dir() and not person.name.startswith('.'):
            pictures = sorted(f'{person.name}/{path.name}' for path in person.iterdir() if is_picture(path))
            if pictures:
                found[person.name] = pictures
    if not found:
        raise SlimError(f'{folder}: no pictures in folders of people, expected {folder}/<person>/<picture>')
    return found


def pictures(folder: str | Path) -> list[str]:
    """Sorted paths of all pictures below `folder`, relative to it, with '/' between folders, as `pictures_below`.

    Errors as `people`.
    """
    folder = _existing(folder)
    found = sorted(path.relative_to(folder).as_posix() for path in pictures_below(folder))
    if not found:
        raise SlimError(f'{folder}: no pictures in it or below')
    return found


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise SlimError(f'{folder}: no such folder')
    return folder
