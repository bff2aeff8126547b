"""Puts the values of a log's lines into the rows of one run."""

from sphereslim.logs.run import Run
from sphereslim.logs.table import LogTable


class RunWriter:
    """Knows the row that the next line of a run belongs to.

    Outputs whose iteration line is missing wait for the `lr` line below them, which names the iteration too.
    """

    def __init__(self, run: Run, time: float | None, announced: bool) -> None:
        self.run = run
        self.announced = announced
        self.thread: int | None = None
        self._first_time = time
        self._rated_seconds = 0.0
        self._waiting: list[tuple[str, float]] = []
        self._last_output = -1
        self._last_test_output: int | None = None

    @property
    def iteration(self) -> int:
        """The furthest iteration so far, -1 before the first."""
        return max(
            -1 if table.last_iteration is None else table.last_iteration for table in (self.run.train, self.run.test)
        )

    def loss(self, iteration: int, value: float, time: float | None, interval: float | None) -> None:
        """`Iteration N, loss = value`; `interval` are the seconds since the line before, None in logs without."""
        self._waiting = []
        self._rated_seconds += interval or 0.0
        self._row(self.run.train, iteration, time, rated=interval is not None)
        self.run.train.set_field('loss', value)
        self._last_output = -1

    def lr(self, iteration: int, value: float, time: float | None) -> None:
        """`Iteration N, lr = value`."""
        if self.run.train.last_iteration != iteration:
            self._row(self.run.train, iteration, time)
            for name, output in self._waiting:
                self.run.train.set_output(name, output)
            self._last_output = len(self._waiting)
        self._waiting = []
        self.run.train.set_field('lr', value)

    def train_output(self, index: int, name: str, value: float, weight: float | None) -> None:
        """`Train net output #index: name = value (* weight = ... loss)`."""
        if weight is not None:
            self.run.loss_weights[name] = weight
        if self._waiting or not len(self.run.train) or index <= self._last_output:
            self._waiting.append((name, value))
            return
        self._last_output = index
        self.run.train.set_output(name, value)

    def testing(self, iteration: int | None, net: int, time: float | None) -> None:
        """`Iteration N, Testing net (#net)`; without N it is the last iteration shown."""
        self.run.test.append(max(self.iteration, 0) if iteration is None else iteration)
        self._stamp(self.run.test, time, rated=False)
        self.run.test.set_field('net', net)
        self._last_test_output = -1

    def test_output(self, index: int | None, name: str, value: float, weight: float | None) -> None:
        """`Test net output #index: name = value`; left out when the line that names its iteration is missing."""
        if weight is not None:
            self.run.loss_weights[name] = weight
        if self._last_test_output is None:
            return
        if index is not None and index <= self._last_test_output:
            self._last_test_output = None
            return
        self._last_test_output = self._last_test_output if index is None else index
        self.run.test.set_output(name, value)

    def _row(self, table: LogTable, iteration: int, time: float | None, rated: bool = False) -> None:
        if table.last_iteration != iteration:
            table.append(iteration)
            self._last_output = -1
        self._stamp(table, time, rated)

    def _stamp(self, table: LogTable, time: float | None, rated: bool) -> None:
        if time is not None:
            if self._first_time is None:
                self._first_time = time
            if time >= self._first_time:
                self.run.clock = 'time stamps'
                table.set_field('seconds', time - self._first_time)
        elif rated and self.run.clock != 'time stamps':
            self.run.clock = 'iter/s'
            table.set_field('seconds', self._rated_seconds)
