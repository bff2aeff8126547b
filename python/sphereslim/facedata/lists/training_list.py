"""Training lists in the form of Caffe's ImageData layer: `path label`, labels dense from 0."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sphereslim.errors import SlimError

Person = TypeVar('Person', str, int)  # a name, or an identity's number


def choose(
    people: Mapping[Person, list[str]], without: Iterable[Person] = (), min_pictures: int = 1
) -> dict[Person, list[str]]:
    """The people of `people` ({person: pictures}) who are not in `without` and have at least `min_pictures`."""
    if min_pictures < 1:
        raise SlimError(f'min-pictures is {min_pictures}, expected at least 1')
    left_out = set(without)
    return {
        person: pictures
        for person, pictures in people.items()
        if person not in left_out and len(pictures) >= min_pictures
    }


def as_text(people: Mapping[Person, Sequence[str]]) -> str:
    """The list's text for {person: pictures}; labels follow the order of the people."""
    return ''.join(f'{picture} {label}\n' for label, pictures in enumerate(people.values()) for picture in pictures)


def by_identity(identities: str | Path, pictures: Sequence[str]) -> tuple[dict[int, list[str]], list[str]]:
    """({identity: pictures}, pictures without one) after a file of `picture identity` lines, as CelebA's.

    `pictures` are those that exist. Identities come in numeric order. Raises SlimError naming a bad line, or when
    the file and the folder have no picture in common.
    """
    known = read_identities(identities)
    people: dict[int, list[str]] = {}
    for picture in pictures:
        if picture in known:
            people.setdefault(known[picture], []).append(picture)
    if not people:
        raise SlimError(f'{identities}: names none of the {len(pictures)} pictures, the first being {pictures[0]}')
    return dict(sorted(people.items())), [picture for picture in pictures if picture not in known]


def read_identities(path: str | Path) -> dict[str, int]:
    """{picture: identity} of a file of `picture identity` lines; SlimError names an invalid line."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SlimError(f'{path}: cannot be read as a list of identities ({error})') from None
    return dict(_identity(path, number, line) for number, line in enumerate(lines, 1) if line.strip())


def _identity(path: str | Path, number: int, line: str) -> tuple[str, int]:
    words = line.rsplit(maxsplit=1)
    if len(words) != 2 or not words[1].isdigit():
        raise SlimError(f"{path}:{number}: '{line.strip()}', expected `picture identity`")
    return words[0], int(words[1])
