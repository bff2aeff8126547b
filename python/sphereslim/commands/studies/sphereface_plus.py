"""SphereFace+ from a folder of faces: a base net for every margin, runs with the inter-class term, the table of runs.

Every run is a stage folder below --out. Stop it at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sphereslim.checkout import PUBLISHED
from sphereslim.commands.arguments.page import add_doc
from sphereslim.commands.command_line import command_line
from sphereslim.data.lists import open_faces
from sphereslim.errors import SlimError
from sphereslim.files import check_folder, only_one, read_json
from sphereslim.net.engine_check import check_engine
from sphereslim.settings import checked, read_settings
from sphereslim.studies.distilled import Start, start_stages
from sphereslim.studies.page import keep_on_page
from sphereslim.studies.sphereface_plus import training
from sphereslim.studies.sphereface_plus.report import collect, page_values, table_text, tables, write
from sphereslim.training.schedule import SETTINGS as SCHEDULE
from sphereslim.training.schedule import Schedule
from sphereslim.training.stage import Stage, train_with_bar

SETTINGS = {
    'net': 'text',
    'heads': 'text',
    'runs': 'count',
    'compared': 'texts',
    'distilled?': 'settings',
    'base': 'settings',
    'margins': 'settings',
}
MARGIN = {'alpha': 'number', **SCHEDULE}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--settings', required=True, help='JSON: net, heads, runs, compared, base and margins')
    parser.add_argument('--faces', required=True, help='folder with aligned/, train.txt and pairs.txt')
    parser.add_argument('--out', required=True, help='folder of the runs')
    parser.add_argument('--runs', type=int, help='how many runs of each margin, each with its own seed')
    parser.add_argument('--margins', help='only these, separated by commas, such as m4')
    add_doc(parser)
    parser.add_argument('--gpu', help='GPU number, several with commas (a full batch each), or all')


def make_plan(args: argparse.Namespace) -> training.Plan:
    """The Plan of the settings file with what the command line changes."""
    values = read_settings(args.settings, SETTINGS)
    names = args.margins.split(',') if args.margins else list(values['margins'])
    margins = []
    for name in names:
        if name not in values['margins']:
            raise SlimError(f'--margins {name}: expected some of {", ".join(values["margins"])}')
        chosen = dict(checked(values['margins'][name], MARGIN, f'{args.settings}: {name}'))
        alpha = chosen.pop('alpha')
        head = Path(values['heads']) / name / 'train.prototxt'
        margins.append(training.Margin(name, head, alpha, schedule(args, chosen, name)))
    runs = values['runs'] if args.runs is None else args.runs
    if runs < 1:
        raise SlimError(f'--runs {runs}: expected at least 1')
    net, base = Path(values['net']), schedule(args, values['base'], 'base')
    check_engine(
        [net / 'train.prototxt', net / 'deploy.prototxt', *(margin.head for margin in margins)],
        [net / 'solver.prototxt'],
    )
    return training.Plan(
        Path(args.out), net, open_faces(args.faces), base, tuple(margins), runs, tuple(values['compared'])
    )


def schedule(args: argparse.Namespace, values: dict[str, Any], name: str) -> Schedule:
    """A Schedule; two GPUs take the two forwards of iter_size 2 at once. SlimError where their number is not known."""
    made = Schedule.from_dict(values, f'{args.settings}: {name}')
    if args.gpu == 'all' and made.iter_size > 1:
        raise SlimError(
            f'--gpu all: {name} of {args.settings} shares the forwards of iter_size {made.iter_size} among '
            'the GPUs, expected their numbers, such as 0,1'
        )
    gpus = len(args.gpu.split(',')) if args.gpu else 1
    return Schedule(**{**vars(made), 'iter_size': max(1, made.iter_size // gpus)})


def finish(plan: training.Plan, stage: Stage, title: str, gpu: str | None, **how: Any) -> None:
    """Train and verify a stage unless that is done."""
    if not stage.is_trained():
        train_with_bar(stage, title, gpu, **how)
    print(f'{title}: accuracy {training.accuracy(plan, stage)["accuracy"]:.2f} %', flush=True)


def train_all(plan: training.Plan, gpu: str | None) -> None:
    """Bases and runs of every margin."""
    total = sum(1 + len(plan.runs_of(margin)) for margin in plan.margins)
    place = 0
    for margin in plan.margins:
        place += 1
        base = plan.base_of(margin)
        if not base.is_emitted():
            training.emit_base(plan, margin, base)
        finish(plan, base, f'[{place}/{total}] {base.name}', gpu)
        for stage, seed, alpha in plan.runs_of(margin):
            place += 1
            if not stage.is_emitted():
                training.emit_run(plan, margin, stage, seed, alpha)
            finish(
                plan,
                stage,
                f'[{place}/{total}] {margin.name}/{stage.name}',
                gpu,
                harvest=lambda snapshots, stage=stage: training.measure_centres(stage, snapshots),
            )


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    plan = make_plan(args)
    start = Start.from_settings(read_settings(args.settings, SETTINGS), args.settings)
    with only_one(plan.folder):
        if start:
            bases = [plan.base_of(margin) for margin in plan.margins]
            start_stages(start, plan.net, plan.folder / 'distilled', plan.faces, bases, plan.seed, gpu=args.gpu)
        train_all(plan, args.gpu)
        found = collect(plan, read_json(PUBLISHED / 'sphereface_plus.json'))
        page = write(found, plan.folder, command_line())
    print(table_text(found))
    if args.doc:
        keep_on_page(args.doc, 'sphereface-plus', tables(found), page_values(found))
    print(f'report: {page} (also report.md and report.json beside it)')
