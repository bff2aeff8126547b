"""Command lines as Caffe's tools take them (gflags): one or two dashes, `=` or a space, `--name` and `--noname`."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from caffe.cli import glog
from caffe.errors import CaffeError

_TRUE, _FALSE = ('true', 't', 'yes', 'y', '1'), ('false', 'f', 'no', 'n', '0')


@dataclass(frozen=True)
class Flag:
    """One flag: its name, its default (whose type, bool, int, float or str, is the flag's) and a line of help."""

    name: str
    default: bool | int | float | str
    help: str


@dataclass(frozen=True)
class Spec:
    """A command line: the command's name, what it does, its flags, and its positionals as (name, help).

    A positional whose name ends in `?` may be left out ('' then); one that ends in `*` takes all that is left.
    """

    prog: str
    about: str
    flags: tuple[Flag, ...] = ()
    positionals: tuple[tuple[str, str], ...] = ()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CaffeError(f'{message} (see {self.prog} --help)')


def parse(argv: Iterable[str], spec: Spec) -> tuple[argparse.Namespace, list[str]]:
    """Read a command line: (values by flag name as attributes, list of positionals).

    `argv` is without the program's name. `--help` prints the help and exits with 0. Raises CaffeError with one line for
    an unknown flag, a value of the wrong type, a missing or a surplus positional.
    """
    parser, kinds = _build(spec)
    values = parser.parse_intermixed_args(_normalise(argv, kinds))
    positionals = [getattr(values, f'positional_{i}') for i in range(len(spec.positionals))]
    if spec.positionals and spec.positionals[-1][0].endswith('*'):
        positionals[-1:] = positionals[-1]
    for i in range(len(spec.positionals)):
        delattr(values, f'positional_{i}')
    return values, positionals


def _build(spec: Spec) -> tuple[_Parser, dict[str, type]]:
    parser = _Parser(
        spec.prog,
        description=spec.about,
        allow_abbrev=False,
        add_help=False,
        epilog='Flags take one or two dashes and `=` or a space; a switch is turned off by --noNAME. '
        'Of the flags of glog -log_dir and -minloglevel work, the others change nothing.',
    )
    kinds: dict[str, type] = {'help': bool}
    for flag in spec.flags:
        kinds[flag.name] = type(flag.default)
        default = str(flag.default).lower() if isinstance(flag.default, bool) else flag.default
        shown = '' if default in ('', None) else f' (default: {default})'
        text = (flag.help + shown).replace('%', '%%')
        if isinstance(flag.default, bool):
            parser.add_argument(f'--{flag.name}', dest=flag.name, action='store_true', default=flag.default, help=text)
            parser.add_argument(
                f'--no{flag.name}', dest=flag.name, action='store_false', default=flag.default, help=argparse.SUPPRESS
            )
        else:
            parser.add_argument(
                f'--{flag.name}',
                dest=flag.name,
                type=type(flag.default),
                default=flag.default,
                metavar=type(flag.default).__name__.upper(),
                help=text,
            )
    for i, (name, text) in enumerate(spec.positionals):
        parser.add_argument(
            f'positional_{i}',
            metavar=name.rstrip('?*'),
            help=text.replace('%', '%%'),
            nargs=name[-1] if name[-1] in '?*' else None,
            default='' if name[-1] == '?' else None,
        )
    parser.add_argument('--help', action='help', help='show this and exit')
    return parser, kinds


def _normalise(argv: Iterable[str], kinds: dict[str, type]) -> list[str]:
    """Two dashes for every known flag, `--name`/`--noname` for switches with a stated value, `--help` for -h."""
    out = []
    for word in argv:
        name, _, value = word.lstrip('-').partition('=')
        switch = kinds.get(name) is bool
        if word == '-h':
            word = '--help'
        elif word.startswith('-') and switch and '=' in word:
            if value.lower() not in _TRUE + _FALSE:
                raise CaffeError(f"--{name}: '{value}' is not a truth value, expected true or false")
            word = f'--{name}' if value.lower() in _TRUE else f'--no{name}'
        elif word.startswith('-') and (name in kinds or (name.startswith('no') and kinds.get(name[2:]) is bool)):
            word = '--' + word.lstrip('-')
        out.append(word)
    return out


def run(
    spec: Spec, action: Callable[[argparse.Namespace, list[str]], int | None], argv: Sequence[str] | None = None
) -> int:
    """Parse the command line and call `action(values, positionals)`; the exit status.

    A CaffeError becomes one line on stderr and status 1, an interrupt status 130.
    """
    try:
        arguments = glog.take(sys.argv[1:] if argv is None else argv, spec.prog)
        values, positionals = parse(arguments, spec)
        return action(values, positionals) or 0
    except CaffeError as error:
        print(f'{spec.prog}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{spec.prog}: interrupted', file=sys.stderr)
        return 130


def need(flags: argparse.Namespace, *names: str) -> None:
    """CaffeError for the first of the flags `names` that the command line left out."""
    for name in names:
        if not getattr(flags, name):
            raise CaffeError(f'-{name} is missing (see caffe --help)')


def at_least_one(flags: argparse.Namespace, name: str) -> None:
    """CaffeError where the flag `name` is below 1."""
    if getattr(flags, name) < 1:
        raise CaffeError(f'-{name} is {getattr(flags, name)}, expected at least 1')


def named_stages(flags: argparse.Namespace) -> list[str]:
    """The stages that the flag -stage lists."""
    return _listed(flags.stage)


def named_weights(flags: argparse.Namespace) -> list[str]:
    """The files that the flag -weights lists."""
    return _listed(flags.weights)


def _listed(text: str) -> list[str]:
    return [word for word in text.split(',') if word]
