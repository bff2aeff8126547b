"""Several folders of aligned people as one, without anyone who is tested on or who is in it twice.

<Person>/<picture>          people of the first source, under their own names, those who are tested on included
<source>_<person>/<picture>  people of every further source
pairs.txt                    the pairs to verify on, where some are given
merged.json                 the settings, the counts of every source, and who was left out for which reason
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.data.pairs import Folds, people_of, write_joined
from sphereslim.errors import SlimError
from sphereslim.facedata.lists import folders, training_list
from sphereslim.files import check_claim, only_one, read_bytes, read_json, write_bytes, write_json

TESTED, FEW = 'in pairs that are tested', 'too few pictures'


@dataclass(frozen=True)
class Source:
    """A folder of aligned people: one folder per person, or `identities`, a file that says who is in which picture."""

    name: str
    folder: Path
    identities: Path | None = None

    def people(self) -> dict[str, list[str]]:
        """{person: paths below the folder}; SlimError where there are none."""
        if self.identities is None:
            return folders.people(self.folder)
        found, _ = training_list.by_identity(self.identities, folders.pictures(self.folder))
        return {str(identity): pictures for identity, pictures in found.items()}


@dataclass(frozen=True)
class Rules:
    """Who is taken: nobody with fewer pictures than `min_pictures`, of each person `max_pictures` at most.

    Of the people of `tested`, pairs files in LFW's form, those of the first source are kept whole, since the files name
    their pictures; the others are left out. `verified` = {source: Folds of pairs} that pairs.txt is made of: their
    people are kept whole in their source.
    """

    tested: tuple[Path, ...]
    min_pictures: int = 4
    max_pictures: int | None = None
    seed: int = 0
    verified: Mapping[str, Folds] = field(default_factory=dict)


@dataclass
class Person:
    """One person of a source: the folder in the merged set, the pictures, whether the pairs need all of them."""

    source: Source
    folder: str
    pictures: list[str]
    tested: bool

    def target(self, picture: str) -> str:
        """What a picture is called in the merged set: pairs name it after its folder."""
        name, own = Path(picture).name, Path(picture).parent.name
        renamed = self.tested and self.folder != own and name.startswith(own)
        return f'{self.folder}/{self.folder}{name.removeprefix(own)}' if renamed else f'{self.folder}/{name}'

    @property
    def files(self) -> list[Path]:
        """The picture files, where they are."""
        return [self.source.folder / picture for picture in self.pictures]


@dataclass
class Merged:
    """People who are taken, people who are tested on but not taken, and {folder: reason} of those left out."""

    taken: list[Person] = field(default_factory=list)
    tested_elsewhere: list[Person] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def leave_out(self, alike: Mapping[str, str]) -> None:
        """Move the people of {folder: reason} out."""
        self.left_out |= alike
        self.taken = [person for person in self.taken if person.folder not in alike]
        self.check()

    def check(self) -> None:
        """SlimError where nobody is left to train on."""
        if all(person.tested for person in self.taken):
            why = ', '.join(f'{count} {reason}' for reason, count in reasons(self)) or 'all are in the pairs'
            raise SlimError(f'nobody is left to train on (people left out: {why})')


def choose(sources: Sequence[Source], rules: Rules) -> Merged:
    """Who is taken of `sources` by the `rules`; SlimError where two sources have one name, or nobody is left."""
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise SlimError(f'two sources are named {max(names, key=names.count)}, expected a name for each')
    unknown = sorted(rules.verified.keys() - set(names))
    if unknown:
        raise SlimError(f'pairs of {unknown[0]}: no such source, expected one of: {", ".join(names)}')
    own = {name: folds.people() for name, folds in rules.verified.items()}
    listed = {person for path in rules.tested for person in people_of(path)}
    elsewhere = listed | own.get(names[0], set())
    merged = Merged()
    for number, source in enumerate(sources):
        kept = own.get(source.name, set()) | (elsewhere if number == 0 else set())
        for name, pictures in source.people().items():
            person = Person(source, f'{source.name}_{name}' if number else name, pictures, name in kept | elsewhere)
            _place(merged, person, stays=name in kept, rules=rules)
    merged.check()
    return merged


def _place(merged: Merged, person: Person, stays: bool, rules: Rules) -> None:
    if person.tested and stays:
        merged.taken.append(person)
    elif person.tested:
        merged.tested_elsewhere.append(person)
        merged.left_out[person.folder] = TESTED
    elif len(person.pictures) < rules.min_pictures:
        merged.left_out[person.folder] = FEW
    else:
        person.pictures = _some(person, rules)
        merged.taken.append(person)


def _some(person: Person, rules: Rules) -> list[str]:
    """The person's pictures, or as many of them as the rules allow, drawn by the seed and the person alone."""
    if not rules.max_pictures or len(person.pictures) <= rules.max_pictures:
        return person.pictures
    key = int.from_bytes(hashlib.sha256(person.folder.encode()).digest()[:8], 'big')
    chosen = np.random.default_rng((rules.seed, key)).choice(len(person.pictures), rules.max_pictures, replace=False)
    return [person.pictures[i] for i in sorted(chosen)]


def copy(
    merged: Merged,
    out: str | Path,
    settings: Mapping[str, Any],
    pairs: Sequence[Folds] = (),
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda results, total: results,
) -> dict[str, Any]:
    """Copy the pictures into the folder `out`, with a pairs.txt of `pairs`; returns what merged.json says of it.

    What is there already is kept, so that a run may be stopped and started again. SlimError where `out` was made with
    other `settings`, or holds other files.
    """
    out = Path(out)
    mark = out / 'merged.json'
    page = {'settings': json.loads(json.dumps(settings)), 'sources': counts(merged), 'left out': merged.left_out}
    known = read_json(mark).get('settings', {}) if mark.is_file() else None
    refusal = f'made with other settings ({mark.name}); name another folder or remove it'
    check_claim(mark, known, page['settings'], refusal)
    with only_one(out):
        write_json(mark, page)
        if pairs:
            write_joined(pairs, out / 'pairs.txt')
        for person in progress(merged.taken, len(merged.taken)):
            _copy_person(person, out)
    return page


def _copy_person(person: Person, out: Path) -> None:
    for picture, source in zip(person.pictures, person.files):
        target = out / person.target(picture)
        if not target.is_file() or target.stat().st_mtime < source.stat().st_mtime:
            write_bytes(target, read_bytes(source))


def counts(merged: Merged) -> dict[str, dict[str, int]]:
    """{source: {'people', 'pictures'}} to train on, and with 'tested people' where the pairs have some of them."""
    found: dict[str, dict[str, int]] = {}
    for person in merged.taken:
        row = found.setdefault(person.source.name, {'people': 0, 'pictures': 0, 'tested people': 0})
        row['tested people'] += person.tested
        row['people'] += not person.tested
        row['pictures'] += 0 if person.tested else len(person.pictures)
    return found


def reasons(merged: Merged) -> Iterator[tuple[str, int]]:
    """(reason, people left out for it), a look-alike's reason without whom they look like."""
    short = [reason.partition(':')[0] for reason in merged.left_out.values()]
    for reason in dict.fromkeys(short):
        yield reason, short.count(reason)
