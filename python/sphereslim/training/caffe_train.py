"""Running `caffe train` as a process: its log kept, its progress followed, its failures told in one line."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sphereslim.engine import caffe_command, caffe_root
from sphereslim.errors import SlimError
from sphereslim.logs.lines import fatal_message
from sphereslim.logs.parser import displayed_loss, displayed_output

_LIBC, _END_WITH_PARENT = ctypes.CDLL(None), 1  # Linux's prctl and its PR_SET_PDEATHSIG
SAFETY_SECONDS = 300  # what a training can lose that is killed
DEAD_SOFTMAX = 87.3365  # -log(FLT_MIN): the softmax gives the right class no probability at all
DEAD_DISPLAYS = 3  # in a row, after which a training is stopped


@dataclass(frozen=True)
class Progress:
    """Where a training is: `iteration` and the smoothed `loss` of the last display."""

    iteration: int
    loss: float


class DeadSoftmax:
    """Counts the displays in a row that show an output at DEAD_SOFTMAX, whatever other losses add to the total."""

    def __init__(self) -> None:
        self.displays = 0
        self._seen = True

    def begin_display(self) -> None:
        """To be called for the line with the loss, which the lines with the outputs follow."""
        if not self._seen:
            self.displays = 0
        self._seen = False

    def see(self, value: float) -> None:
        """To be called for each output."""
        if not self._seen and abs(value - DEAD_SOFTMAX) < 0.001:
            self.displays, self._seen = self.displays + 1, True


class SafetySnapshots:
    """Asks a training for a snapshot every SAFETY_SECONDS: `caffe train` takes one on SIGHUP.

    `until` is the iteration from which on no more are asked for, since the process no longer handles the signal once it
    is done. `before` is called before each.
    """

    def __init__(self, until: int, before: Callable[[], object]) -> None:
        self._until, self._before = until, before
        self._due = math.inf

    def ask(self, process: subprocess.Popen[str], iteration: int) -> None:
        """Ask where it is time; to be called for each loss that is displayed, the first of which starts the clock."""
        now = time.monotonic()
        if self._due == math.inf:
            self._due = now + SAFETY_SECONDS
        elif now >= self._due and iteration < self._until:
            self._before()
            process.send_signal(signal.SIGHUP)
            self._due = now + SAFETY_SECONDS


def train(
    solver: str | Path,
    log: Path,
    weights: str | Path | None = None,
    snapshot: str | Path | None = None,
    gpu: str | None = None,
    watch: Callable[[Progress], object] = lambda progress: None,
    safety: SafetySnapshots | None = None,
) -> None:
    """Run `caffe train` to its end with its output appended to the file `log`; `watch` gets each Progress.

    Starts from `weights` or continues from `snapshot`; `safety` asks for snapshots meanwhile. On Ctrl-C the process is
    stopped with a snapshot. SlimError tells the command's own reason when it fails, and stops the run with advice when
    the loss is no number or an output stays at the value of a dead softmax (87.3365). The variable TRAINING_PRECISION
    goes to its -precision.
    """
    command = [*caffe_command(), 'train', f'--solver={solver}']
    command += [f'--weights={weights}'] if weights else []
    command += [f'--snapshot={snapshot}'] if snapshot else []
    command += [f'--gpu={gpu}'] if gpu is not None else []
    command += _precision()
    # the log is read here, however quiet the rest of the workflow is asked to be
    environment = {**os.environ, 'GLOG_logtostderr': '1', 'GLOG_minloglevel': '0'}
    # a session of its own, so that Ctrl-C reaches the process only through here
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env=environment,
        preexec_fn=_prepare,
    )
    try:
        last = _follow(process, log, watch, solver, safety)
    except BaseException as error:
        # what an exploded loss leaves is not to be gone on from
        _end(process, signal.SIGKILL if isinstance(error, SlimError) else signal.SIGINT)
        if isinstance(error, OSError):
            raise SlimError(f'{log}: cannot be written ({error.strerror})') from None
        raise
    if process.wait():
        raise SlimError(f'{solver}: caffe train failed: {last} (the whole log: {log})')


def _precision() -> list[str]:
    """What TRAINING_PRECISION adds to the command."""
    asked = os.environ.get('TRAINING_PRECISION')
    if asked and caffe_root():
        raise SlimError(f'TRAINING_PRECISION={asked}: a genuine Caffe has one precision, expected none to be asked for')
    return [f'--precision={asked}'] if asked else []


def _prepare() -> None:
    """Let a request for a snapshot that comes before or after the training itself pass without effect, and the process
    end when this one is killed: the next run goes on from the last snapshot, beside no other."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _LIBC.prctl(_END_WITH_PARENT, signal.SIGKILL)


def _follow(
    process: subprocess.Popen[str],
    log: Path,
    watch: Callable[[Progress], object],
    solver: str | Path,
    safety: SafetySnapshots | None,
) -> str:
    """Copy the process's lines to the log until it ends; the last fatal one, or where there is none the last."""
    last, fatal, dead, progress = '', '', DeadSoftmax(), Progress(0, math.nan)
    with open(log, 'a', buffering=1) as file:
        for line in process.stderr or ():
            file.write(line)
            last, fatal = line.strip() or last, fatal_message(line) or fatal
            found, output = displayed_loss(line), displayed_output(line)
            if output is not None:
                dead.see(output)
                if dead.displays >= DEAD_DISPLAYS:
                    raise SlimError(_advice(solver, progress))
            if found:
                progress = Progress(*found)
                dead.begin_display()
                if math.isnan(progress.loss):
                    raise SlimError(_advice(solver, progress))
                if safety:
                    safety.ask(process, progress.iteration)
                watch(progress)
    return fatal or last


def _advice(solver: str | Path, progress: Progress) -> str:
    return (
        f'{solver}: the loss exploded at iteration {progress.iteration} (loss {progress.loss:g}); try a smaller '
        'base_lr, a larger lambda_min or a smaller alpha, or start from trained weights'
    )


def _end(process: subprocess.Popen[str], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
