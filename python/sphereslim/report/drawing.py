"""Empty figures to draw into: no window, no backend to choose, nothing kept once they are gone."""

import io
from typing import Any


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
