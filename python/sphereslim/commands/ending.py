"""How a command ends: its status, one line on bad input, quietly when it is asked to stop."""

from __future__ import annotations

import argparse
import functools
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from sphereslim.errors import SlimError

Run = Callable[[argparse.Namespace], None]


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Call `main()` and exit with its status; bad input prints one line and exits with 1.

    Ctrl-C ends it with 130, SIGTERM with 143, both in good order: a training that is under way is stopped, too.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        sys.exit(main())
    except KeyboardInterrupt as stop:
        sys.exit(143 if stop.args else 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if not isinstance(error, _bad_input()):
            raise
        sys.exit(f'error: {error}')


def continues(run: Run) -> Run:
    """A command's `run` that says, when it is interrupted, that the same command goes on from there."""

    @functools.wraps(run)
    def told(args: argparse.Namespace) -> None:
        try:
            run(args)
        except KeyboardInterrupt:
            print('interrupted; the same command continues', file=sys.stderr)
            raise

    return told


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def _bad_input() -> tuple[type[Exception], ...]:
    """The library's exception, the operating system's, and the engine's once loaded (a genuine Caffe has none)."""
    engine = sys.modules.get('caffe.errors')
    return (SlimError, OSError) + ((engine.CaffeError,) if engine else ())
