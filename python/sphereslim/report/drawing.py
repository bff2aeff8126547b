"""Empty figures to draw into, colours that differ, and texts that keep clear of each other.

There is no window, no backend to choose, and nothing is kept of a figure once it is gone.
"""

import io
from collections.abc import Sequence
from itertools import product
from textwrap import fill
from typing import Any

_DISTANCES = (5, 9, 14, 20, 27, 35, 44)  # points between a text and what it stands beside
_SIDES = ((1, 1), (-1, 1), (0, 1), (1, -1), (-1, -1), (0, -1), (1, 0), (-1, 0))
_FAR = 14  # points from which on a line leads from a text to its point
_LINE = {'arrowstyle': '-', 'lw': 0.5, 'color': '0.6', 'shrinkA': 0}


def panels(size: tuple[float, float], rows: int = 1, columns: int = 1, **how: Any) -> tuple[Any, Any]:
    """(Figure of `size` = (width, height) in inches, its Axes or an array of them); `how` goes to Figure.subplots."""
    from matplotlib.figure import Figure  # here, since it takes a second to load and most commands draw nothing

    figure = Figure(size, layout='constrained')
    return figure, figure.subplots(rows, columns, **how)


def png(figure: Any, dpi: int = 160) -> bytes:
    """The figure as PNG bytes."""
    memory = io.BytesIO()
    figure.savefig(memory, format='png', dpi=dpi)
    return memory.getvalue()


def colours(count: int) -> list[tuple[float, ...]]:
    """As many colours, no two of them alike."""
    from matplotlib import colormaps

    if count <= 10:
        return [colormaps['tab10'](number) for number in range(count)]
    return [colormaps['turbo'](number / (count - 1)) for number in range(count)]


def legend_above(figure: Any, columns: int, size: float = 8) -> None:
    """One legend of all axes above them, every label once; none where nothing has a label."""
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles))
    if entries:
        figure.legend(
            entries.values(), entries, loc='outside upper center', ncols=columns, fontsize=size, frameon=False
        )


def write_title(figure: Any, text: str, size: float = 10) -> None:
    """Write a title above a figure, in as many lines as its width asks for."""
    figure.suptitle(fill(text, int(figure.get_figwidth() * 72 / (0.62 * size))), fontsize=size)


def write_beside(axes: Any, points: Sequence[tuple[float, float, str]], size: float = 8) -> None:
    """Write a text beside each (x, y, text): inside the axes, over no other of these texts and none of the points.

    To be called when everything else is drawn. A text without such a place stays out.
    """
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()  # now the layout is known
    pixels = axes.figure.dpi / 72
    marks = axes.transData.transform([(x, y) for x, y, _ in points]) if points else []
    taken = [Bbox.from_extents(x - 3 * pixels, y - 3 * pixels, x + 3 * pixels, y + 3 * pixels) for x, y in marks]
    frame = axes.bbox.padded(-2 * pixels)
    for x, y, text in points:
        for distance, side in product(_DISTANCES, _SIDES):
            note = _note(axes, (x, y), text, size, distance, side)
            box = note.get_window_extent()
            inside = box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
            if inside and not box.count_overlaps(taken):
                taken.append(box)
                if distance >= _FAR:
                    axes.annotate('', (x, y), note.xyann, textcoords='offset points', arrowprops=_LINE)
                break
            note.remove()


def _note(axes: Any, point: tuple[float, float], text: str, size: float, distance: int, side: tuple[int, int]) -> Any:
    right, up = side
    return axes.annotate(
        text,
        point,
        (right * distance, up * distance),
        textcoords='offset points',
        ha=('center', 'left', 'right')[right],
        va=('center', 'bottom', 'top')[up],
        fontsize=size,
    )
