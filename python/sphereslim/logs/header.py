"""The blocks of protobuf text in a log's header: the solver and the training net."""

import re

from sphereslim.logs import textformat
from sphereslim.logs.lines import Message
from sphereslim.logs.run import Run

PROTOTEXT_LINE = re.compile(r'\s*(?:[\w.]+\s*:\s*\S.*|\w+\s*\{.*|\}\s*)?$')
OPENINGS = (('Initializing solver from parameters', 'solver'), ('Initializing net from parameters', 'net'))
LARGEST_BLOCK = 4_000_000


class HeaderBlock:
    """Collects the lines below an opening message until its thread says something else."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._texts: dict[str, str] = {}
        self._lines: list[str] = []

    def opening(self, text: str) -> str | None:
        """'solver' or 'net' when the message opens a block, else None."""
        return next((kind for phrase, kind in OPENINGS if phrase in text), None)

    def open(self, kind: str, run: Run, thread: int | None) -> None:
        """Begin a block of a kind that `opening` gave; its text goes to `run`, its lines come from `thread`."""
        self._kind, self._run, self._thread = kind, run, thread
        self._lines, self._size = [], 0

    def take(self, message: Message) -> bool:
        """True when the line belongs to the open block; a line that ends the block closes it."""
        if self._run is None:
            return False
        if message.thread is None and PROTOTEXT_LINE.match(message.text):
            self._size += len(message.text)
            if self._size < LARGEST_BLOCK:
                self._lines.append(message.text)
            return True
        if message.thread is None or message.thread == self._thread:
            self.close()
        return False

    def close(self) -> None:
        """Give the run what was collected; equal nets of many appended runs share one string."""
        if self._run is None:
            return
        text = '\n'.join(self._lines)
        if self._kind == 'solver':
            self._run.solver = textformat.parse(text)
        elif not self._run.net_text:
            self._run.net_text = self._texts.setdefault(text, text)
        self._run = None
