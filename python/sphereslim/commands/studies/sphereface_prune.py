"""Sphereface-Prune: nets trained once, pruned at every rate layer by layer, beside the published tables.

In a residual block only the first convolution loses filters; --trunk prunes the trunks as well. Every stage is a folder
below --out. Stop it at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sphereslim.checkout import PUBLISHED, checkout
from sphereslim.checkout import SETTINGS as SETTINGS_FOLDER
from sphereslim.commands.arguments.page import add_doc
from sphereslim.commands.arguments.values import rates
from sphereslim.commands.command_line import command_line
from sphereslim.data.lists import Faces, open_faces
from sphereslim.errors import SlimError
from sphereslim.files import check_folder, only_one, read_json
from sphereslim.progress import bar
from sphereslim.report.cells import ReportTable
from sphereslim.report.markdown import table_text
from sphereslim.report.write import write_report
from sphereslim.rewrite.scaled import scaled_folder
from sphereslim.settings import read_settings
from sphereslim.studies import pipeline
from sphereslim.studies.distilled import Start, base_rows, bases_table, start_base
from sphereslim.studies.fine_tuning import curve_rows, curves_table
from sphereslim.studies.page import keep_on_page
from sphereslim.studies.pipeline import run_stages
from sphereslim.studies.prune_figures import base_figures, channel_figures, course_figures
from sphereslim.studies.prune_runs import Base, convolution_groups, whole_times
from sphereslim.studies.sphereface_prune import comparison, comparison_figure
from sphereslim.studies.taught_on import taught_rows, taught_table, teach_on
from sphereslim.training.schedule import Schedule

TRAININGS = ('base', 'fine_tune', 'last_round')
SETTINGS = {
    'width': 'positive',
    'batches': 'count',
    'seed': 'whole',
    'time_batch': 'count',
    'distilled?': 'settings',
    'scratch?': 'settings',
    'stage_pairs?': 'count',
    **dict.fromkeys(TRAININGS, 'settings'),
}


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    settings = read_settings(args.settings, SETTINGS)
    faces, out = open_faces(args.faces), Path(args.out)
    start = None if args.from_scratch else Start.from_settings(settings, args.settings)
    with only_one(out):
        bases = [make_base(args, settings, faces, net) for net in args.nets.split(',')]
        plans = [(base, rate, make_run(args, settings, base, rate)) for base in bases for rate in args.rates]
        for plan in [*(base.plan for base in bases), *(plan for _, _, plan in plans)]:
            pipeline.check(plan)
        smaller = None
        for base in bases:
            if start:
                smaller = start_base(start, base.plan, args.gpu, f'{base.name} ', smaller)
            run_stages(base.plan, args.gpu, f'{base.name} ')
        if args.bases:
            report_bases(args, settings, bases)
            return
        for base, rate, plan in plans:
            heading = f'{base.name} at {rate:g} '
            run_stages(plan, args.gpu, heading)
            if start and start.taught_on:
                teach_on(start.taught_on, plan, args.gpu, heading)
        report(args, settings, bases, plans, taught=bool(start and start.taught_on))


def report_bases(args: argparse.Namespace, settings: dict[str, Any], bases: Sequence[Base]) -> None:
    """Print what the bases alone reach, and put it on the page."""
    rows = base_rows(bases)
    tell(args, [bases_table(rows)], {'bases': rows, 'settings': settings})


def tell(args: argparse.Namespace, tables: Sequence[ReportTable], figures: dict[str, Any]) -> None:
    """Print tables, and put them with their figures on the page of --doc."""
    for table in tables:
        print(f'\n{table.title}\n{table_text(table)}')
    if args.doc:
        study = 'sphereface-prune' + ('-from-scratch' if args.from_scratch else '')
        keep_on_page(args.doc, study, tables, figures)


def make_base(args: argparse.Namespace, settings: dict[str, Any], faces: Faces, word: str) -> Base:
    """The Base of the net that a word such as 10, or the name of a folder, means."""
    folder = Path(args.prototxt) if args.prototxt else checkout('prototxt') / 'prototxt'
    source = folder / (f'sphereface-{word}' if word.isdigit() else word)
    if not source.is_dir():
        raise SlimError(f'--nets {word}: no folder {source}')
    folder = Path(args.out) / source.name
    net = scaled_folder(source, folder / 'net', settings['width'])
    first = 'scratch' if args.from_scratch and 'scratch' in settings else 'base'
    names = {'base': first, 'fine_tune': 'fine_tune'}
    values = {part: Schedule.from_dict(settings[name], f'{args.settings}: {name}') for part, name in names.items()}
    plan = pipeline.Plan(
        folder,
        net,
        faces,
        (),
        1.0,
        args.criterion,
        batches=settings['batches'],
        seed=settings['seed'],
        base=values['base'],
        fine_tune=values['fine_tune'],
        last_round=None,
        stage_pairs=settings.get('stage_pairs'),
    )
    return Base(source.name, plan, source)


def make_run(args: argparse.Namespace, settings: dict[str, Any], base: Base, rate: float) -> pipeline.Plan:
    """The Plan that prunes a base at a rate."""
    last_round = Schedule.from_dict(settings['last_round'], f'{args.settings}: last_round')
    layers = convolution_groups(base.plan.net, args.trunk)
    return base.pruned(f'rate-{rate:g}{"-trunk" if args.trunk else ""}', layers, rate, last_round=last_round)


def report(
    args: argparse.Namespace,
    settings: dict[str, Any],
    bases: Sequence[Base],
    plans: Sequence[tuple[Base, float, pipeline.Plan]],
    taught: bool,
) -> None:
    """Write the page of all runs into --out, and print its table."""
    out = Path(args.out)
    speed = whole_times(
        out / 'times.json',
        bases,
        plans,
        lambda todo: bar(todo, desc='caffe time', leave=False),
        batch=settings['time_batch'],
        gpu=args.gpu and args.gpu.split(',')[0],
    )
    printed = read_json(PUBLISHED / 'sphereface_prune.json')
    table, data = comparison(bases, plans, speed, printed)
    figures = {'rows': data, 'bases': base_rows(bases), 'curves': curve_rows(plans, PUBLISHED)}
    tables = [table, bases_table(figures['bases']), curves_table(figures['curves'])]
    if taught:
        figures['taught_on'] = taught_rows(plans, printed)
        tables.insert(1, taught_table(figures['taught_on']))
    facts = [
        ('settings', f'{args.settings}; nets at {settings["width"]:g} of their width'),
        ('faces', f'{bases[0].plan.faces.count} pictures of {bases[0].plan.faces.people} people'),
        ('criterion', args.criterion),
        ('made by', command_line()),
    ]
    page = write_report(
        out,
        'Sphereface-Prune',
        facts,
        tables,
        [
            comparison_figure(data),
            *course_figures(bases, plans),
            *base_figures(bases, PUBLISHED),
            *channel_figures(plans),
        ],
        figures,
    )
    tell(args, tables, figures | {'settings': settings})
    print(f'report: {page} (also report.md and report.json beside it)')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--settings',
        default=str(SETTINGS_FOLDER / 'sphereface-prune.small.json'),
        help='JSON: width, batches, schedules (default: the small ones)',
    )
    parser.add_argument('--faces', required=True, help='folder with aligned/, train.txt and pairs.txt')
    parser.add_argument('--out', required=True, help='folder of the runs')
    parser.add_argument(
        '--prototxt', help="folder with sphereface-4 and so on (default: prototxt of the project's checkout)"
    )
    parser.add_argument(
        '--nets', default='4,10,20', help='nets: 10 means sphereface-10, else a folder (default 4,10,20)'
    )
    parser.add_argument('--rates', type=rates, default=[0.75, 0.5], help='shares kept (default 0.75,0.5)')
    parser.add_argument('--criterion', default='greedy_pair', help='how to select filters (default greedy_pair)')
    parser.add_argument('--trunk', action='store_true', help='prune the residual trunks as well')
    parser.add_argument('--bases', action='store_true', help='train the bases alone')
    add_doc(parser)
    parser.add_argument(
        '--from-scratch',
        action='store_true',
        help='train bases without the teacher of the faces, on a schedule of their own',
    )
    parser.add_argument('--gpu', help='GPU number, several with commas, or all')
