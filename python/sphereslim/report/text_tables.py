"""Plain tables as aligned text or Markdown."""

from collections.abc import Iterable, Sequence


def text_table(columns: Sequence[object], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Aligned text; the first `left` columns start at the left, the others end at the right."""
    cells = [[str(c) for c in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ['  '.join(_pad(c, w, i < left) for i, (c, w) in enumerate(zip(row, widths))).rstrip() for row in cells]
    return '\n'.join([lines[0], '  '.join('-' * w for w in widths), *lines[1:]])


def markdown_table(columns: Sequence[object], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """A Markdown table with the same alignment."""
    rule = ['---' if i < left else '---:' for i in range(len(columns))]
    lines = ['| ' + ' | '.join(str(c).replace('|', '\\|') for c in row) + ' |' for row in [columns, rule, *rows]]
    return '\n'.join(lines)


def with_unit(number: float, digits: int = 4) -> str:
    """A number as text, in K, M or G where it is large: 12562496 is '12.56 M'."""
    for factor, unit in ((1e9, 'G'), (1e6, 'M'), (1e3, 'K')):
        if abs(number) >= factor:
            return f'{number / factor:.{digits}g} {unit}'
    return f'{number:.{digits}g}'


def duration(seconds: float | None) -> str:
    """Seconds as 45 s, 12.5 min or 11.1 h; nothing for None."""
    if seconds is None:
        return ''
    if seconds < 120:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.3g} min' if seconds < 7200 else f'{seconds / 3600:.3g} h'


def _pad(text: str, width: int, left: bool) -> str:
    return text.ljust(width) if left else text.rjust(width)
