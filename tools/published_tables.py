#!/usr/bin/env python3
"""Rebuild the published tables' parameters, MACs and memory from the prototxts, beside the print.

Every cell shows our figure, the printed one and the difference. A verdict of 'agrees' means that ours rounds to the
print, 'cut' or 'raised' that the print was rounded down or up instead, 'differs' is explained below the table.
"""

import argparse
import json
import os
from pathlib import Path

from sphereslim.checkout import PUBLISHED
from sphereslim.commands.ending import run_command
from sphereslim.studies.published_tables import TABLES

ROOT = Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('tables', nargs='*', metavar='TABLE', help=f'which tables: {", ".join(TABLES)} (default: all)')
    parser.add_argument('--prototxt', type=Path, default=ROOT / 'prototxt', help='folder of the networks')
    parser.add_argument('--published', type=Path, default=PUBLISHED, help="folder of the sources' figures")
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--json', action='store_true', help='print JSON')
    form.add_argument('--markdown', action='store_true', help='print Markdown')
    args = parser.parse_args()
    unknown = [name for name in args.tables if name not in TABLES]
    if unknown:
        parser.error(f'no table {unknown[0]}, expected some of: {", ".join(TABLES)}')
    return args


def summary(tables):
    """How many cells of the tables agree with the sources, in words."""
    cells = [cell for table in tables for cell in table.cells]
    return f'{sum(cell.agrees for cell in cells)} of {len(cells)} cells agree to the printed precision'


def main():
    args = arguments()
    os.environ.setdefault('GLOG_minloglevel', '2')
    tables = [TABLES[name](args.prototxt, args.published) for name in args.tables or TABLES]
    if args.json:
        print(json.dumps([table.as_json() for table in tables], indent=2))
    else:
        shown = [table.as_markdown() if args.markdown else table.as_text() for table in tables]
        print('\n\n'.join([*shown, summary(tables)]))


if __name__ == '__main__':
    run_command(main)
