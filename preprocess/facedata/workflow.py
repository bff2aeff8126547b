"""What face data needs of the workflow's library, which lies next door in python/."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / 'python'))

from sphereslim.commands.arguments.parser import command_parser  # noqa: E402  (found by the path above)
from sphereslim.commands.arguments.values import whole  # noqa: E402
from sphereslim.commands.ending import run_command  # noqa: E402
from sphereslim.data.pairs import people_of, read_pairs  # noqa: E402
from sphereslim.errors import SlimError  # noqa: E402
from sphereslim.files import (  # noqa: E402
    cache_folder,  # noqa: E402
    only_one,
    only_one_at,
)
from sphereslim.progress import bar  # noqa: E402

__all__ = [
    'SlimError',
    'cache_folder',
    'command_parser',
    'only_one',
    'only_one_at',
    'people_of',
    'progress',
    'read_pairs',
    'run',
    'whole',
]


def progress(desc, unit):
    """A function (results, total, done=0) that wraps a stream of results by a progress bar, `done` of them before."""
    return lambda results, total, done=0: bar(results, desc, total=total, initial=done, unit=unit)


def run(main):
    """As `run_command`, for commands whose bad input may also be a FaceDataError and that continue when run again."""
    run_command(lambda: _named(main))


def _named(main):
    from facedata.errors import FaceDataError

    try:
        return main()
    except FaceDataError as error:
        raise SlimError(str(error)) from None
    except KeyboardInterrupt:
        print('interrupted; the same command continues', file=sys.stderr)
        raise
