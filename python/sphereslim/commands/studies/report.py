"""Write the report of a run again from its report.json: the page, the Markdown and the figures, or one figure.

With --pairs, the net of every stage is verified on these pairs as well, and the report shows what it lost on them.
"""

import argparse
from functools import partial
from pathlib import Path

from sphereslim.commands.arguments.pictures import add_pairs, sets_of
from sphereslim.data.preparation import CROPS, InputForm
from sphereslim.errors import SlimError
from sphereslim.files import read_json
from sphereslim.progress import bar
from sphereslim.studies.pipeline_report import write
from sphereslim.studies.pipeline_report.more_sets import add_set
from sphereslim.studies.pipeline_report.write import write_figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('run', metavar='RUN', type=Path, help='folder of a run that has a report.json')
    parser.add_argument('--figure', metavar='NAME', help='draw only this figure, a PNG in the folder')
    add_pairs(parser, required=False, several=True)
    parser.add_argument('--crop', choices=CROPS, default='centre', help='the part of larger pictures (default centre)')


def run(args: argparse.Namespace) -> None:
    report = read_json(args.run / 'report.json')
    if not isinstance(report, dict) or 'rows' not in report:
        raise SlimError(f'{args.run}/report.json: is not the report of a run')
    report['folder'] = str(args.run)
    for pair_set in sets_of(args):
        add_set(report, pair_set, InputForm(crop=args.crop), args.mirror, partial(bar, desc=pair_set.name))
    print(write_figure(report, args.run, args.figure) if args.figure else write(report, args.run))
