"""Runs a part in a process of its own: what it breaks or takes too long for is lost with it, and nothing else."""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from gpu_checks.check import Check, PassedOver, Value

OWN = ('caffe', 'sphereslim', 'benchmarks', 'gpu_checks')
GRACE = 5  # seconds for a part to end what it started, once it is asked to stop


def run_part(name: str, seconds: float, check: Check, log: Path, keep: Callable[[dict[str, Any]], None]) -> None:
    """Run a part for at most `seconds`; `keep` gets all that is known of it at its start, at each figure and its end.

    That is {'outcome', 'seconds'} and, where there are any, {'figures', 'wrong', 'passed over'}, each by name. What the
    part prints is appended to the file `log`.
    """
    known: dict[str, Any] = {'outcome': 'running'}
    folder = tempfile.mkdtemp(prefix=f'gpu-check-{name}-')
    # forked: libraries are loaded once for all parts, and the parent never touches the GPU
    context = multiprocessing.get_context('fork')
    ours, theirs = context.Pipe(duplex=False)
    own = replace(check, folder=Path(folder), send=theirs.send)
    process = context.Process(target=_work, args=(name, own, log))
    began = time.monotonic()
    process.start()
    theirs.close()

    def tell(outcome: str) -> None:
        known.update(outcome=outcome, seconds=round(time.monotonic() - began, 1))
        keep(known)

    def take(kind: str, what: str, value: Value) -> None:
        known.setdefault(kind, {})[what] = value
        tell('running')

    try:
        tell('running')
        tell(_follow(process, ours, began + seconds, take) or f'stopped after its {seconds:g} s')
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _follow(process: Any, ours: Connection, end: float, take: Callable[[str, str, Value], None]) -> str | None:
    """Take in what a part sends until it tells its outcome or ends without; None once its time is over."""
    while (left := end - time.monotonic()) > 0:
        ready = wait([ours, process.sentinel], left)
        if ours in ready:
            try:
                kind, what, value = ours.recv()
            except EOFError:
                break
            if kind == 'outcome':
                process.join(GRACE)
                return what
            take(kind, what, value)
        elif ready:
            break
    else:
        return None
    process.join(GRACE)
    return f'failed: its process ended with status {process.exitcode}'


def _end(process: Any) -> None:
    """End a part and all that it started, in good order first, so that a training it waits for ends as well."""
    if process.is_alive():
        os.kill(process.pid, signal.SIGTERM)
        process.join(GRACE)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # nothing is left of it
        pass
    process.join()


def _work(name: str, check: Check, log: Path) -> None:
    """The process of a part."""
    os.setsid()
    signal.signal(signal.SIGTERM, _stop)
    with open(log, 'a') as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    print(f'---- {name}', flush=True)
    try:
        import_module(f'gpu_checks.{name}').run(check)
        outcome = 'done'
    except PassedOver as missing:
        outcome = f'passed over: {missing}'
    except Exception as error:
        traceback.print_exc()
        what = 'passed over' if _is_lacking(error) else f'failed: {type(error).__name__}'
        outcome = f'{what}: {(str(error).splitlines() or [""])[0]}'
    check.send(('outcome', outcome, ''))


def _is_lacking(error: Exception) -> bool:
    """Whether a package of somebody else is missing."""
    return isinstance(error, ModuleNotFoundError) and (error.name or '').split('.')[0] not in OWN


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)
