"""The log of `caffe train` of any age and fork, line by line, into runs."""

import re
from pathlib import Path
from typing import Any

from sphereslim.logs.header import HeaderBlock
from sphereslim.logs.lines import Clock, LogError, Message, messages, read_lines
from sphereslim.logs.run import Run
from sphereslim.logs.writer import RunWriter

# Fewer than 19 digits, so that no garbled iteration overflows 64 bits.
COUNT = r'(\d{1,18})'
NUMBER = r'([-+]?(?:1\.#\w+|\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf))'
LOSS = re.compile(rf'Iteration {COUNT}([^=]*?)\bloss = {NUMBER}')
INTERVAL = re.compile(r'(\d+\.?\d*(?:e-?\d+)?) ?s/\d+ iter')
LR = re.compile(rf'Iteration {COUNT},? lr = {NUMBER}')
TRAIN_OUTPUT = re.compile(rf'Train net output #{COUNT}: (\S+) = {NUMBER}(?: \(\* {NUMBER} = )?')
TESTING = re.compile(rf'(?:Iteration {COUNT}, )?Testing net(?: \(#{COUNT}\))?')
TEST_OUTPUT = re.compile(rf'Test (?:net output|score) #{COUNT}: (?:(\S+) = )?{NUMBER}(?: \(\* {NUMBER} = )?')
TEST_LOSS = re.compile(rf'Test loss: {NUMBER}')
STEP = re.compile(rf'MultiStep Status: Iteration {COUNT}, step = {COUNT}')
SNAPSHOT = re.compile(rf'Snapshotting to (?:binary proto file |HDF5 file )?(\S*_iter_{COUNT}\S*)')
WEIGHTS = re.compile(r'Finetuning from (\S+)')
RESUME = re.compile(r'(?:Resuming from|Restoring previous solver status from) (\S+)')
GPUS = re.compile(r'Using GPUs? (?:with device ID )?([\d, ]+)')
SIGNAL = re.compile(r'\*\*\* (SIG\w+)')


def parse_log(path: str | Path) -> list[Run]:
    """The runs of one log file, in the order they stand in it: a list of Run, at least one of them with rows.

    Raises LogError (one line) when the file is missing, empty, binary, or holds no Caffe iteration.
    """
    parser = LogParser(path)
    for line in read_lines(path):
        parser.feed(line)
    runs = parser.finish()
    if not any(run.rows for run in runs):
        what = 'a training was begun, but' if runs else 'not the log of a Caffe training:'
        raise LogError(f"{path}: {what} no line such as 'Iteration 100, loss = 1.2' is in it")
    return runs


def displayed_loss(line: str) -> tuple[int, float] | None:
    """(iteration, loss) of a line that displays the loss of the training, else None."""
    found = LOSS.search(line)
    return (int(found[1]), _number(found[3])) if found else None


def displayed_output(line: str) -> float | None:
    """The value of a line that displays an output of the training's net, before its loss weight; else None."""
    found = TRAIN_OUTPUT.search(line)
    return _number(found[3]) if found else None


class LogParser:
    """Feed it lines as they come; `runs` holds what was read so far.

    Lines of several threads or processes are kept apart by the thread in glog's prefix. A run begins with a solver
    block, with a new training thread, or where the iteration goes back. A thread that repeats the iterations of
    the running one is another GPU of the same training: its lines are left out.
    """

    def __init__(self, path: str | Path = '') -> None:
        self.path = str(path)
        self.runs: list[Run] = []
        self._line = 0
        self._clock = Clock()
        self._block = HeaderBlock()
        self._writers: dict[int | None, RunWriter] = {}
        self._repeaters: set[int | None] = set()
        self._latest: RunWriter | None = None
        self._gpus: list[int] = []

    def feed(self, line: str) -> None:
        """Read one line (without its line end)."""
        self._line += 1
        for message in messages(line, self._clock):
            if not self._block.take(message):
                self._read(message)

    def finish(self) -> list[Run]:
        """Take in a header block that the log ends in; return the runs. Further lines may still be fed."""
        self._block.close()
        return self.runs

    def _read(self, message: Message) -> None:
        text = message.text
        if 'Iteration ' in text:
            self._read_iteration(message)
        elif 'net output #' in text or text.startswith('Test') or 'Test score #' in text:
            self._read_output(message)
        elif kind := self._block.opening(text):
            if kind == 'solver':
                self._begin(message, announced=True)
            if self._latest:
                self._block.open(kind, self._latest.run, message.thread)
        else:
            self._read_event(message)

    def _read_iteration(self, message: Message) -> None:
        for form, use in (
            (LOSS, self._use_loss),
            (LR, self._use_lr),
            (TESTING, self._use_testing),
            (STEP, lambda writer, found, _: writer.run.steps.append((int(found[1]), int(found[2])))),
        ):
            found = form.search(message.text)
            if found and found[1]:
                writer = self._writer_at(message, int(found[1]))
                if writer:
                    use(writer, found, message.time)
                return

    def _use_loss(self, writer: RunWriter, found: Any, time: float | None) -> None:
        interval = INTERVAL.search(found[2])
        writer.loss(int(found[1]), _number(found[3]), time, float(interval[1]) if interval else None)

    def _use_lr(self, writer: RunWriter, found: Any, time: float | None) -> None:
        writer.lr(int(found[1]), _number(found[2]), time)

    def _use_testing(self, writer: RunWriter, found: Any, time: float | None) -> None:
        writer.testing(int(found[1]), int(found[2] or 0), time)

    def _read_output(self, message: Message) -> None:
        text = message.text
        writer = self._writer(message)
        if writer is None:
            return
        if found := TRAIN_OUTPUT.search(text):
            writer.train_output(int(found[1]), found[2], _number(found[3]), _number(found[4]) if found[4] else None)
        elif found := TEST_OUTPUT.search(text):
            name = found[2] or f'score {found[1]}'
            writer.test_output(int(found[1]), name, _number(found[3]), _number(found[4]) if found[4] else None)
        elif found := TEST_LOSS.search(text):
            writer.test_output(None, 'loss', _number(found[1]), 1.0)
        elif found := TESTING.search(text):
            writer.testing(None, int(found[2] or 0), message.time)

    def _read_event(self, message: Message) -> None:
        text = message.text
        if found := GPUS.search(text):
            self._gpus = [int(gpu) for gpu in found[1].replace(',', ' ').split()]
        if self._latest is None:
            return
        run = self._latest.run
        if found := SNAPSHOT.search(text):
            run.snapshots.append((int(found[2]), found[1]))
        elif found := WEIGHTS.search(text):
            run.weights.append(found[1])
        elif found := RESUME.search(text):
            run.resumed_from = run.resumed_from or found[1]
        elif 'Optimization Done' in text:
            run.done = True
        elif found := SIGNAL.search(text):
            run.failure = f'ended by {found[1]}'
        elif message.severity == 'F':
            run.failure = text.strip()[:200]

    def _begin(self, message: Message, announced: bool) -> RunWriter:
        run = Run(self.path, self._line, gpus=self._gpus)
        self._gpus = []
        self._latest = RunWriter(run, message.time, announced)
        self._writers[message.thread] = self._latest
        self._repeaters.discard(message.thread)
        self.runs.append(run)
        return self._latest

    def _writer(self, message: Message) -> RunWriter | None:
        """The writer for a line that does not name its iteration, or None when that cannot be told."""
        if message.thread in self._repeaters:
            return None
        writer = self._latest if message.thread is None else self._writers.get(message.thread)
        if writer and message.thread is not None and writer.thread not in (None, message.thread):
            return None
        if writer is None and self._latest and self._latest.thread is None:
            return self._latest
        if writer is None and self._latest is None:
            return self._begin(message, announced=False)
        return writer

    def _writer_at(self, message: Message, iteration: int) -> RunWriter | None:
        """The writer for a line about `iteration`, a new run where one begins, None for a repeating thread."""
        thread = message.thread
        if thread in self._repeaters:
            return None
        writer = self._writer(message)
        if writer is None and self._latest is not None and iteration == self._latest.iteration:
            self._repeaters.add(thread)
            return None
        if writer is None or iteration < writer.iteration:
            writer = self._begin(message, announced=False)
        self._drop_repeater_before(writer)
        writer.thread = writer.thread if thread is None else thread
        self._writers[thread] = self._latest = writer
        return writer

    def _drop_repeater_before(self, writer: RunWriter) -> None:
        """An unannounced thread that spoke up while `writer` was still at work was another GPU of it."""
        other = self._latest
        if other is None or other is writer or other.announced:
            return
        if other.thread is not None:
            self.runs.remove(other.run)
            self._repeaters.add(other.thread)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float('inf') if 'INF' in text.upper() else float('nan')
