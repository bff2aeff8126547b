"""What a target reads, from its data file `facts/<target>.json`: types of layers, limits, and where each is said.

A file has these parts:

- `title`: the target as people call it, with the version that the facts are of;
- `way`: how a net gets there;
- `sources`: a public address for each short name, `reader` that of the reader itself. Two names need none: `measured`
  facts are held against the reader by the tests, `unverified` ones have no public source;
- `layers`: for each source the types of layers that it says the target has;
- `bvlc_fields`: whether the target knows the fields of BVLC's schema alone;
- `instead`: what to do about a type that is not among them, `*` for all others;
- `rules`: what holds for layers of `types` (without it, for all): the `value` (one of `quantities.VALUES`, or a field
  such as `lrn_param.k`) is `one_of`, `most`, `least`, a `multiple_of`, or is not `given`; `why` says what the target
  does and `instead` what to do. A rule that `slows` is no obstacle.
- `sizes`: rules about the whole net, with a `value` of `quantities.SIZES`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sphereslim.errors import SlimError

_FOLDER = Path(__file__).parent / 'facts'
TESTS = ('one_of', 'most', 'least', 'multiple_of', 'given')
MEASURED, UNVERIFIED = 'measured', 'unverified'
ANY = '*'


@dataclass(frozen=True)
class Rule:
    """One fact about layers or about the net as a whole, see the module."""

    value: str
    test: str
    bound: Any
    why: str
    instead: str
    source: str
    types: tuple[str, ...] = ()
    slows: bool = False

    def holds(self, values: list[Any]) -> bool:
        """Whether all values pass the test."""
        return all(_passes(value, self.test, self.bound) for value in values)


def _passes(value: Any, test: str, bound: Any) -> bool:
    if test == 'one_of':
        return value in bound
    if test == 'multiple_of':
        return value % bound == 0
    return value <= bound if test == 'most' else value >= bound if test == 'least' else value == bound


@dataclass(frozen=True)
class Target:
    """A target's facts; the fields are the parts of its file."""

    name: str
    title: str
    way: str
    sources: dict[str, str]
    layers: dict[str, list[str]]
    instead: dict[str, str]
    bvlc_fields: bool = False
    rules: list[Rule] = field(default_factory=list)
    sizes: list[Rule] = field(default_factory=list)

    @cached_property
    def types(self) -> dict[str, str]:
        """{type of layer: the source that says that the target has it}."""
        return {kind: source for source, kinds in self.layers.items() for kind in kinds}

    def said_by(self, source: str) -> str:
        """A source as it is shown: its address, or the word for it."""
        return self.sources.get(source, source)


def target_names() -> list[str]:
    """The targets that there are facts for."""
    return sorted(path.stem for path in _FOLDER.glob('*.json'))


def read_target(name: str) -> Target:
    """The facts of a target; SlimError where there is none of that name."""
    if name not in target_names():
        raise SlimError(f"there is no target '{name}', expected one of {', '.join(target_names())}")
    parts = json.loads((_FOLDER / f'{name}.json').read_text(encoding='utf-8'))
    rules, sizes = ([_rule(rule) for rule in parts.pop(part, ())] for part in ('rules', 'sizes'))
    return Target(name=name, rules=rules, sizes=sizes, **parts)


def _rule(parts: dict[str, Any]) -> Rule:
    (test,) = set(parts) & set(TESTS)
    bound = parts.pop(test)
    return Rule(test=test, bound=bound, types=tuple(parts.pop('types', ())), **parts)
