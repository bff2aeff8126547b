"""How a command ends: its status, one line on bad input, quietly when it is asked to stop."""

import signal
import sys

from sphereslim.errors import SlimError
from sphereslim.progress import bar


def run_command(main):
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


def train_with_bar(stage, title, gpu=None, **how):
    """Train a Stage under a progress bar of its iterations, the time left and the loss; `how` goes to `Stage.run`."""
    total = stage.iterations()
    with bar(total=total, desc=f'{title}: training', unit='it') as shown:

        def watch(progress):
            shown.set_postfix(loss=f'{progress.loss:.3f}', refresh=False)
            shown.update(progress.iteration - shown.n)

        stage.run(gpu, watch, **how)
        shown.update(total - shown.n)


def _stop(number, frame):
    raise KeyboardInterrupt(number)


def _bad_input():
    """The library's exception, the operating system's, and the engine's once loaded (a genuine Caffe has none)."""
    engine = sys.modules.get('caffe.errors')
    return (SlimError, OSError) + ((engine.CaffeError,) if engine else ())
