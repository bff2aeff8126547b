"""Tables whose every cell says where its number comes from."""

from dataclasses import asdict, dataclass, field

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


@dataclass
class ReportTable:
    """`columns` are texts, `rows` lists of ReportCells; `note` is what a reader has to know."""

    title: str
    columns: list
    rows: list
    note: str = ''

    def as_dict(self):
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Figure:
    """A drawing: `name` (its file without .png), a short `title`, what to see in it, and a function that draws it."""

    name: str
    title: str
    text: str
    draw: object = field(repr=False)
