#!/usr/bin/env python3
"""Everything that only a GPU can answer, in one command of less than eight minutes: numbers, trainings, speed, memory.

Parts run one after the other, the most telling first, each in a process of its own and for a share of the time. A part
that fails or takes longer is stopped and says so; the next one runs all the same. What is missing (packages, the
published data in ../shared or where SHARED says) is named and passed over.

--out gets report.json, written whole with every figure as it comes, report.md, the same as a table, and log.txt, what
the parts printed. The command ends with status 1 where something failed, was stopped or is wrong.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault('GLOG_minloglevel', '2')

from benchmarks.nets import SHARED
from gpu_checks import PARTS
from gpu_checks.check import Check
from gpu_checks.runner import run_part
from sphereslim.commands.arguments.parser import command_parser
from sphereslim.commands.arguments.values import positive
from sphereslim.commands.ending import run_command
from sphereslim.files import check_folder, write_json, write_text
from sphereslim.report.text_tables import markdown_table

KINDS = ('figures', 'wrong', 'passed over')


def main() -> str | None:
    options = parse_arguments()
    check_folder(options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {}
    report = {'device': options.device, 'tiny': options.tiny, 'started': time.strftime('%F %T'), 'parts': parts}
    check = Check(options.device, options.tiny, Path(SHARED).resolve(), options.out, _unsent)
    for name in options.part or PARTS:

        def keep(known: dict[str, Any], name: str = name) -> None:
            parts[name] = known
            write_json(options.out / 'report.json', report)

        run_part(name, PARTS[name] * options.share, check, options.out / 'log.txt', keep)
        print(_lines(name, parts[name]), flush=True)
        write_text(options.out / 'report.md', _table(parts))
    failed = [name for name, known in parts.items() if has_failed(known)]
    return f'gpu_check: look at {", ".join(failed)}' if failed else None


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__ or '')
    parser.add_argument('--part', action='append', choices=PARTS, help='run this part; may be repeated (default: all)')
    parser.add_argument(
        '--out', type=Path, default=Path('work/gpu-check'), help='folder to write (default %(default)s)'
    )
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda', help='what to compute on (default cuda)')
    parser.add_argument('--tiny', action='store_true', help='the smallest sizes, for a dry run on a CPU')
    parser.add_argument('--share', type=positive, default=1, help='give every part this times its time (default 1)')
    return parser.parse_args()


def has_failed(known: dict[str, Any]) -> bool:
    """Whether a part failed, was stopped or found something wrong."""
    return 'wrong' in known or not known['outcome'].startswith(('done', 'passed over'))


def _unsent(message: object) -> None:
    raise RuntimeError('only a part has figures')


def _lines(name: str, known: dict[str, Any]) -> str:
    """A part as text, to be read while the next one runs."""
    head = f'{name}: {known["outcome"]} ({known["seconds"]} s)'
    mark = {'figures': '', 'wrong': 'WRONG ', 'passed over': 'passed over: '}
    return '\n'.join([head, *(f'  {mark[kind]}{what}: {_text(value)}' for kind, what, value in _entries(known))])


def _table(parts: dict[str, Any]) -> str:
    """All parts as a Markdown table."""
    rows = [
        [name, kind, what, _text(value)]
        for name, known in parts.items()
        for kind, what, value in [('outcome', '', f'{known["outcome"]} ({known["seconds"]} s)'), *_entries(known)]
    ]
    return markdown_table(['part', '', 'what', 'value'], rows, left=4) + '\n'


def _entries(known: dict[str, Any]) -> list[tuple[str, str, Any]]:
    return [(kind, what, value) for kind in KINDS for what, value in known.get(kind, {}).items()]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{name} {_text(one)}' for name, one in value.items())
    if isinstance(value, list):
        return '; '.join(map(_text, value))
    return f'{value:.4g}' if isinstance(value, float) else str(value)


if __name__ == '__main__':
    run_command(main)
