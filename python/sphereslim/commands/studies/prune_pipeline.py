"""Train a face network, prune it layer by layer with fine-tuning between, verify every stage and report.

Every stage is a folder below --out with its prototxts, caffemodels, log and selection. Stop it at any moment; the
same command goes on where it stopped.
"""

import argparse
from pathlib import Path

from sphereslim.checkout import PUBLISHED
from sphereslim.commands.command_line import command_line
from sphereslim.data.lists import open_faces
from sphereslim.files import check_folder, only_one
from sphereslim.progress import bar
from sphereslim.report.markdown import table_text
from sphereslim.settings import read_settings
from sphereslim.studies import pipeline
from sphereslim.studies import pipeline_report as report
from sphereslim.studies.distilled import Start, start_base
from sphereslim.studies.pipeline import run_stages
from sphereslim.studies.pipeline_report.collect import collect
from sphereslim.studies.pipeline_report.tables import stage_table
from sphereslim.training.schedule import Schedule

TRAININGS = ('base', 'fine_tune', 'last_round')
SETTINGS = {
    'net': 'text',
    'layers': 'texts',
    'rate': 'positive',
    'criterion': 'text',
    'batches?': 'count',
    'multiple?': 'count',
    'seed?': 'whole',
    'crop?': 'text',
    'fit_start?': 'switch',
    'distilled?': 'settings',
    **dict.fromkeys(TRAININGS, 'settings'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--settings', required=True, help='JSON: net, layers, rate, criterion, schedules')
    parser.add_argument('--faces', required=True, help='folder with aligned/, train.txt and pairs.txt')
    parser.add_argument('--out', required=True, help='folder of the run')
    parser.add_argument('--net', help='folder with train, deploy and solver prototxt, instead of that in the settings')
    parser.add_argument('--layers', help='layers to prune in order, separated by commas')
    parser.add_argument('--rate', type=float, help='share of channels to keep')
    parser.add_argument('--criterion', help='how to select channels')
    parser.add_argument('--gpu', help='GPU number, several with commas, or all')


def make_plan(args: argparse.Namespace) -> pipeline.Plan:
    """The Plan of the settings file with what the command line changes."""
    values = read_settings(args.settings, SETTINGS)
    for name in ('net', 'rate', 'criterion'):
        values[name] = values[name] if getattr(args, name) is None else getattr(args, name)
    if args.layers:
        values['layers'] = args.layers.split(',')
    values.update({name: Schedule.from_dict(values[name], f'{args.settings}: {name}') for name in TRAININGS})
    folder = Path(args.out)
    values.pop('distilled', None)
    values.update(folder=folder, net=Path(values['net']), faces=open_faces(args.faces), layers=tuple(values['layers']))
    return pipeline.Plan(**values)


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    plan = make_plan(args)
    pipeline.check(plan)
    start = Start.from_settings(read_settings(args.settings, SETTINGS), args.settings)
    with only_one(plan.folder):
        if start:
            start_base(start, plan, args.gpu)
        run_stages(plan, args.gpu)
        found = collect(plan, PUBLISHED, lambda rounds: bar(rounds, desc='measuring speed', leave=False))
        found['command'] = command_line()
        page = report.write(found, plan.folder)
    print(table_text(stage_table(found)))
    print(f'report: {page} (also report.md and report.json beside it)')
