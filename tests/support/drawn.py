"""What a reader sees of the texts of a figure: which are drawn, and where."""

from itertools import combinations
from unittest.mock import patch

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def texts(figure):
    """[(text, its bounding box in pixels)] of everything that is written when the figure is drawn."""
    written, draw = {}, Text.draw

    def note(text, renderer):
        if text.get_visible() and text.get_text().strip():
            written[text] = Text.get_window_extent(text, renderer)
        draw(text, renderer)

    with patch.object(Text, 'draw', note):
        FigureCanvasAgg(figure).draw()
    return [(text.get_text(), box) for text, box in written.items()]


def unreadable(figure):
    """The texts of a figure that leave it, and the pairs of them that lie over each other, each in words."""
    found = texts(figure)
    whole = figure.bbox.padded(0.5)
    away = [text for text, box in found if not (whole.contains(*box.min) and whole.contains(*box.max))]
    return away + [
        f'{one} over {other}'
        for (one, its), (other, others) in combinations(found, 2)
        if its.padded(-0.5).overlaps(others.padded(-0.5))
    ]
