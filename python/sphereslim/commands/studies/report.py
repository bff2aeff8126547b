"""Write the report of a run again from its report.json: the page, the Markdown and the figures, or one figure."""

import argparse
from pathlib import Path

from sphereslim.errors import SlimError
from sphereslim.files import read_json
from sphereslim.studies.pipeline_report import write
from sphereslim.studies.pipeline_report.write import write_figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('run', metavar='RUN', type=Path, help='folder of a run that has a report.json')
    parser.add_argument('--figure', metavar='NAME', help='draw only this figure, a PNG in the folder')


def run(args: argparse.Namespace) -> None:
    report = read_json(args.run / 'report.json')
    if not isinstance(report, dict) or 'rows' not in report:
        raise SlimError(f'{args.run}/report.json: is not the report of a run')
    report['folder'] = str(args.run)
    print(write_figure(report, args.run, args.figure) if args.figure else write(report, args.run))
