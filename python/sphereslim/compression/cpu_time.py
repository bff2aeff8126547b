"""CPU time, of the parts of a run added up where it is stopped and goes on."""

from __future__ import annotations

import resource
import time

from sphereslim.files import ResultsFile

_KEY = 'cpu seconds'


def cpu_of_children() -> float:
    """Seconds of CPU time, user and system, of all processes that have ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used() -> float:
    return time.process_time() + cpu_of_children()


class CpuTime:
    """Seconds of CPU time by part, of this process and those below it, kept in a ResultsFile."""

    def __init__(self, kept: ResultsFile) -> None:
        self._kept, self._part, self._since = kept, '', _used()

    def begin(self, part: str) -> None:
        """Count for `part` from here on."""
        self.end()
        self._part = part

    def end(self) -> None:
        """Keep what has been used since `begin`."""
        now = _used()
        if self._part:
            known = self.seconds()
            self._kept.keep(_KEY, known | {self._part: known.get(self._part, 0.0) + now - self._since})
        self._part, self._since = '', now

    def seconds(self) -> dict[str, float]:
        """{part: seconds} of all runs so far."""
        return dict(self._kept.results.get(_KEY, {}))
