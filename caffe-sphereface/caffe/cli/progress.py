"""`caffe train -progress`: how far a training is and how long it will take, beside Caffe's lines of log."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr

from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from caffe.solvers.solver import Solver

_SECONDS_BETWEEN_LINES = 10


class _Bar(tqdm):
    """A bar without tqdm's own thread and its lock for several processes: data layers fork while it stands."""

    monitor_interval = 0
    _lock = threading.RLock()


class _Lines:
    """A file for tqdm: what it would write over and over in one line becomes lines of standard error."""

    encoding = 'ascii'  # of the bar; a log is read with anything

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(f'{text.strip()}\n')

    def flush(self) -> None:
        sys.stderr.flush()


@contextmanager
def shown(solver: Solver) -> Iterator[None]:
    """Show the iterations of `solver` up to its max_iter while the block runs.

    On a terminal that is a bar below the log, elsewhere a line of its own every ten seconds.
    """
    on_terminal = sys.stderr.isatty()
    file, seconds = (sys.stderr, 0.2) if on_terminal else (_Lines(), _SECONDS_BETWEEN_LINES)
    bars: list[_Bar] = []

    def move() -> None:
        if not bars:  # made with the first iteration, which a restored solver alone knows
            total = solver.param.max_iter
            bars.append(
                _Bar(desc='Training', total=total, initial=solver.iter, file=file, mininterval=seconds, miniters=1)
            )
        bars[0].update(solver.iter - bars[0].n)

    solver.add_callback(move, '')
    try:
        # lines of the log are written above the bar
        with redirect_stderr(DummyTqdmFile(file)) if on_terminal else nullcontext():
            yield
    finally:
        for bar in bars:
            bar.update(solver.iter - bar.n)
            bar.close()
