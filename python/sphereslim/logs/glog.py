"""glog's line prefix in all its forms: `I0522 21:55:16.278669 34682 solver.cpp:45] text`, with or without a year."""

import re
from datetime import datetime
from typing import NamedTuple

PREFIX = re.compile(r'([IWEF])(\d{8}|\d{4}) (\d\d):(\d\d):(\d\d)(\.\d+)?\s+(\d+) [^\s\]]+:\d+\] ?')
A_LEAP_YEAR = 2000
HALF_A_YEAR = 183 * 86400


class Message(NamedTuple):
    """One message: its severity letter, writing thread, time in seconds (None without a prefix) and text."""

    severity: str | None
    thread: int | None
    time: float | None
    text: str


class Clock:
    """Times of prefixes as seconds that keep growing over New Year when the prefix has no year."""

    def __init__(self):
        self.year = A_LEAP_YEAR
        self.last = None
        self._days = {}

    def seconds(self, date, hour, minute, second, fraction):
        """Seconds since an arbitrary moment, or None for a date or time that does not exist."""
        midnight = self._midnight(date)
        if midnight is None:
            return None
        time = midnight + 3600 * int(hour) + 60 * int(minute) + int(second) + float(fraction or 0)
        if len(date) == 4 and self.last is not None and time < self.last - HALF_A_YEAR:
            self.year += 1
            return self.seconds(date, hour, minute, second, fraction)
        self.last = time
        return time

    def _midnight(self, date):
        """Seconds at which a date begins, None for one that does not exist; remembered, as all lines ask."""
        key = date, self.year
        if key not in self._days:
            year, month_day = (int(date[:4]), date[4:]) if len(date) == 8 else (self.year, date)
            try:
                day = datetime(year, int(month_day[:2]), int(month_day[2:]))
                self._days[key] = (day - datetime(A_LEAP_YEAR, 1, 1)).total_seconds()
            except ValueError:
                self._days[key] = None
        return self._days[key]


def messages(line, clock):
    """Split a line into messages: usually one, several where threads wrote into one line."""
    found = list(PREFIX.finditer(line))
    if not found:
        return [Message(None, None, None, line)]
    head = line[: found[0].start()]
    result = [Message(None, None, None, head)] if head.strip() else []
    ends = [match.start() for match in found[1:]] + [len(line)]
    for match, end in zip(found, ends):
        severity, *moment, thread = match.groups()
        result.append(Message(severity, int(thread), clock.seconds(*moment), line[match.end() : end]))
    return result
