"""Tables whose every cell says where its number comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

ANALYTIC, MEASURED, PUBLISHED = 'analytic', 'measured', 'published'
SOURCES = {
    ANALYTIC: 'follows from the prototxt, counted without the classifier',
    MEASURED: 'here, in this run',
    PUBLISHED: 'as the source prints it',
}


@dataclass(frozen=True)
class ReportCell:
    """A text and its source, one of SOURCES or '' for plain words."""

    text: str
    source: str = ''


def accuracy_text(accuracy: float, error: float) -> str:
    """An accuracy in percent with its standard error over the folds; a single fold has none, which is 0."""
    return f'{accuracy:.2f}{f" ± {error:.2f}" if error else ""} %'


def loss_text(loss: float, error: float | None) -> str:
    """Points of accuracy lost, with their paired standard error where it is known."""
    return f'{loss:.2f}{"" if error is None else f" ± {error:.2f}"}'


@dataclass
class ReportTable:
    """`columns` are texts, `rows` lists of ReportCells; `note` is what a reader has to know."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[ReportCell]]
    note: str = ''

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Figure:
    """A drawing: `name` (its file without .png), a short `title`, what to see in it, and a function that draws it."""

    name: str
    title: str
    text: str
    draw: Callable[[], Any] = field(repr=False)
