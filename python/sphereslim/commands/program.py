"""The `sphereslim` program: it finds the commands, says what there is, and runs one of them.

A command is a module in a room below this package, such as pruning/select_filters.py for `sphereslim select-filters`.
It has `add_arguments(parser)` and `run(args)`, and its docstring is its help. Only the one that runs is imported.
"""

import argparse
import ast
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from sphereslim import __version__, commands
from sphereslim.commands.arguments.parser import command_parser
from sphereslim.commands.ending import run_command
from sphereslim.errors import SlimError

ROOMS = ('facedata', 'pruning', 'compression', 'evaluation', 'deployment', 'studies')
USAGE = """usage: sphereslim COMMAND …

Compress face-recognition networks in Caffe's formats. `sphereslim COMMAND --help` says what a command takes.
"""


@dataclass(frozen=True)
class Command:
    """A command by the name of its module and the file that it is in."""

    name: str
    module: str
    path: Path

    @cached_property
    def doc(self) -> str:
        """The docstring, read without importing the module."""
        return _docstring(self.path)

    def parse(self, words: Sequence[str], program: str | None = None) -> argparse.Namespace:
        """Its arguments; what is wrong with them ends the program with status 2. `program` begins the usage line."""
        parser = command_parser(self.doc, program or f'sphereslim {self.name}')
        importlib.import_module(self.module).add_arguments(parser)
        return parser.parse_args(words)

    def run(self, words: Sequence[str], program: str | None = None) -> None:
        """Run it with these arguments."""
        args = self.parse(words, program)
        if args.verbose:
            os.environ['GLOG_minloglevel'] = '0'  # read when the engine is loaded, which no module of a command does
        importlib.import_module(self.module).run(args)


def find_commands(room: str) -> Iterator[Command]:
    """The commands of a room, by name."""
    folder = Path(commands.__path__[0], room)
    for found in pkgutil.iter_modules([str(folder)]):
        module = f'{commands.__name__}.{room}.{found.name}'
        yield Command(found.name.replace('_', '-'), module, folder / f'{found.name}.py')


def overview() -> str:
    """Every command with its first line, room by room."""
    rooms = {room: list(find_commands(room)) for room in ROOMS}
    indent = 4 + max(len(command.name) for found in rooms.values() for command in found)
    lines = [USAGE]
    for room, found in rooms.items():
        lines.append(_docstring(Path(commands.__path__[0], room, '__init__.py')).splitlines()[0])
        for command in found:
            lines.append(f'  {command.name}'.ljust(indent) + command.doc.splitlines()[0])
        lines.append('')
    return '\n'.join(lines)


def find_command(name: str) -> Command:
    """The command of a name, with `-` or `_` between its parts; SlimError where there is none."""
    known = {command.name: command for room in ROOMS for command in find_commands(room)}
    wanted = name.replace('_', '-')
    if wanted not in known:
        near = get_close_matches(wanted, known, 1)
        hint = f'did you mean {near[0]}?' if near else '`sphereslim --help` lists them'
        raise SlimError(f"there is no command '{name}'; {hint}")
    return known[wanted]


def main() -> None:
    """The `sphereslim` program with the words of its command line."""
    run_command(lambda: _run(sys.argv[1:]))


def _run(words: Sequence[str]) -> None:
    if not words or words[0] in ('-h', '--help'):
        print(overview())
    elif words[0] == '--version':
        print(f'sphereslim {__version__}')
    else:
        find_command(words[0]).run(words[1:])


def script(path: str) -> None:
    """The command that a script is named after, with the words of its command line."""
    run_command(lambda: find_command(Path(path).stem).run(sys.argv[1:], Path(path).name))


def check(path: str, *words: str) -> None:
    """End the program with a line where the script at `path` would not take these words."""

    def parse() -> None:
        find_command(Path(path).stem).parse(words, Path(path).name)

    run_command(parse)


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_bytes())) or ''
