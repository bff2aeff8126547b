"""Empty figures to draw into: no window, no backend to choose, nothing kept once they are gone."""

import io


def panels(size, rows=1, columns=1, **how):
    """(Figure of `size` = (width, height) in inches, its Axes or an array of them); `how` goes to Figure.subplots."""
    from matplotlib.figure import Figure  # here, since it takes a second to load and most commands draw nothing

    figure = Figure(size, layout='constrained')
    return figure, figure.subplots(rows, columns, **how)


def png(figure, dpi=160):
    """The figure as PNG bytes."""
    memory = io.BytesIO()
    figure.savefig(memory, format='png', dpi=dpi)
    return memory.getvalue()
