"""Read a log while it is being written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sphereslim.logs.lines import LogError
from sphereslim.logs.parser import LogParser
from sphereslim.logs.run import Run
from sphereslim.logs.textformat import number

CHUNK = 1 << 20


class Follower:
    """Reads what a growing plain log has gained since the last look; `runs` holds everything read so far."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._start_over()

    @property
    def runs(self) -> list[Run]:
        """The Runs read so far, in the order of the log."""
        return self._parser.runs

    def read_on(self) -> bool:
        """Read the complete new lines; True when there were any. A log that became shorter is read from the start.

        Raises LogError when the file cannot be opened.
        """
        try:
            if self.path.stat().st_size < self._offset:
                self._start_over()
            with open(self.path, 'rb') as file:
                return self._read(file)
        except OSError as error:
            raise LogError(f'{self.path}: {error.strerror}, expected a log file') from error

    def _start_over(self) -> None:
        self._parser = LogParser(self.path)
        self._offset = 0
        self._begun = b''

    def _read(self, file: Any) -> bool:
        file.seek(self._offset)
        fed = False
        while chunk := file.read(CHUNK):
            self._offset += len(chunk)
            # Without a line end the whole is kept for later, but no more of it than a line may be long.
            *lines, self._begun = (self._begun[-CHUNK:] + chunk).split(b'\n')
            for line in lines:
                self._parser.feed(line.rstrip(b'\r').decode('utf-8', 'replace'))
            fed = fed or bool(lines)
        return fed


def progress(runs: Sequence[Run]) -> str:
    """How far the last run is, in words: iteration, loss, and the time left by its pace so far."""
    run = next(run for run in reversed(runs) if run.rows)
    if not len(run.train):
        return f'{len(run.test)} tests, no training iteration yet'
    row, end = run.train[-1], number(run.solver, 'max_iter')
    words = f'iteration {row.iteration}' + (f' of {end:.0f}' if end else '')
    words += '' if row.loss is None else f', loss {row.loss:g}'
    if run.done:
        return f'{words}, finished'
    rate = _rate(run)
    if rate and end:
        left = max(end - row.iteration, 0) / rate
        words += f', {rate:.3g} iterations/s, {_clock(left)} left'
    return words


def _rate(run: Run) -> float | None:
    """Iterations per second over the last rows, None without times."""
    first, last = run.train[max(len(run.train) - 20, 0)], run.train[-1]
    if first.seconds is None or last.seconds is None or last.seconds <= first.seconds:
        return None
    return (last.iteration - first.iteration) / (last.seconds - first.seconds)


def _clock(seconds: float) -> str:
    return f'{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{int(seconds % 60):02}'
