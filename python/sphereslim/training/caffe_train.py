"""Running `caffe train` as a process: its log kept, its progress followed, its failures told in one line."""

from __future__ import annotations

import math
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sphereslim.engine import caffe_command
from sphereslim.errors import SlimError
from sphereslim.logs.lines import fatal_message
from sphereslim.logs.parser import displayed_loss

EXPLODED = 87.33  # -log(FLT_MIN): the softmax gives the right class no probability at all


@dataclass(frozen=True)
class Progress:
    """Where a training is: `iteration` and the smoothed `loss` of the last display."""

    iteration: int
    loss: float


def train(
    solver: str | Path,
    log: Path,
    weights: str | Path | None = None,
    snapshot: str | Path | None = None,
    gpu: str | None = None,
    watch: Callable[[Progress], object] = lambda progress: None,
    keep_on_interrupt: bool = False,
) -> None:
    """Run `caffe train` to its end with its output appended to the file `log`; `watch` gets each Progress.

    Starts from `weights` or continues from `snapshot`. On Ctrl-C the process is stopped with a snapshot. SlimError
    tells the command's own reason when it fails, and stops the run with advice when the loss is no number or stays
    at the value of a dead softmax (87.3365).
    """
    command = [*caffe_command(), 'train', f'--solver={solver}']
    command += [f'--weights={weights}'] if weights else []
    command += [f'--snapshot={snapshot}'] if snapshot else []
    command += [f'--gpu={gpu}'] if gpu is not None else []
    # the log is read here, however quiet the rest of the workflow is asked to be
    environment = {**os.environ, 'GLOG_logtostderr': '1', 'GLOG_minloglevel': '0'}
    # a session of its own, so that Ctrl-C reaches the process only through here
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True, env=environment
    )
    try:
        last = _follow(process, log, watch, solver)
    except BaseException as error:
        # what an exploded loss leaves is not to be gone on from
        _end(process, signal.SIGKILL if isinstance(error, SlimError) else signal.SIGINT)
        if isinstance(error, OSError):
            raise SlimError(f'{log}: cannot be written ({error.strerror})') from None
        raise
    if process.wait():
        raise SlimError(f'{solver}: caffe train failed: {last} (the whole log: {log})')


def _follow(process: subprocess.Popen[str], log: Path, watch: Callable[[Progress], object], solver: str | Path) -> str:
    """Copy the process's lines to the log until it ends; the last fatal one, or where there is none the last."""
    last, fatal, dead = '', '', 0
    with open(log, 'a', buffering=1) as file:
        for line in process.stderr or ():
            file.write(line)
            last, fatal = line.strip() or last, fatal_message(line) or fatal
            found = displayed_loss(line)
            if found:
                progress = Progress(*found)
                dead = dead + 1 if _is_dead(progress.loss) else 0
                if math.isnan(progress.loss) or dead >= 3:
                    raise SlimError(_advice(solver, progress))
                watch(progress)
    return fatal or last


def _is_dead(loss: float) -> bool:
    return loss > EXPLODED - 0.01


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
