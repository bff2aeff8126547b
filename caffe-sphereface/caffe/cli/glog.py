"""The flags of glog, with which genuine Caffe logs: start scripts have them among those of its commands.

-minloglevel and -log_dir work, as do the variables GLOG_minloglevel and GLOG_log_dir; all other flags are accepted and
change nothing, since the log goes to standard error in any case.
"""

import os
from collections.abc import Iterable

from caffe import log
from caffe.errors import CaffeError

_SWITCHES = frozenset(('alsologtostderr', 'colorlogtostderr', 'log_prefix', 'logtostderr', 'stop_logging_if_full_disk'))
_VALUES = frozenset(
    ('log_dir', 'logbuflevel', 'logbufsecs', 'max_log_size', 'minloglevel', 'stderrthreshold', 'v', 'vmodule')
)


def take(argv: Iterable[str], program: str) -> list[str]:
    """The arguments of a command line that are not glog's; what the others ask for is in effect then.

    Processes that this one starts get it as variables. Raises CaffeError for a level that is no number and for a
    missing folder.
    """
    rest, found = _split(argv)
    os.environ.update({f'GLOG_{name}': found[name] for name in ('minloglevel', 'log_dir') if name in found})
    if 'minloglevel' in found:
        if not found['minloglevel'].isdigit():
            raise CaffeError(f"-minloglevel '{found['minloglevel']}': expected 0, 1, 2 or 3")
        log.init_log(int(found['minloglevel']))
    folder = os.environ.get('GLOG_log_dir')
    if folder and not os.path.isdir(folder):
        raise CaffeError(f'-log_dir {folder}: no such folder to write the log into')
    log.also_to(folder, program)
    return rest


def _split(argv: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """(arguments that are not glog's, {flag of glog: its value})."""
    rest: list[str] = []
    found: dict[str, str] = {}
    arguments = iter(argv)
    for argument in arguments:
        name, equals, value = argument.lstrip('-').partition('=')
        if not argument.startswith('-') or not {name, name.removeprefix('no')} & (_SWITCHES | _VALUES):
            rest.append(argument)
        elif name in _VALUES:
            found[name] = value if equals else next(arguments, '')
    return rest, found
