"""Entropy-based filter selection: VGG-16 and the WebFace net pruned layer by layer, and entropy against random filters.

Each net is trained once; every rate is a run of its own from there, and so is every single layer, criterion and seed of
the comparison with random filters (Table 5 of the source). Stop it at any moment; the same command goes on where it
stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sphereslim.checkout import PUBLISHED, checkout
from sphereslim.checkout import SETTINGS as SETTINGS_FOLDER
from sphereslim.commands.arguments.page import add_doc
from sphereslim.commands.command_line import command_line
from sphereslim.data.lists import Faces, open_faces
from sphereslim.errors import SlimError
from sphereslim.files import check_folder, only_one, read_json
from sphereslim.net.inputs import input_shape
from sphereslim.net.prototxt import read_net
from sphereslim.progress import bar
from sphereslim.report.markdown import table_text
from sphereslim.report.write import write_report
from sphereslim.rewrite.scaled import scaled_folder
from sphereslim.settings import checked, read_settings
from sphereslim.studies import pipeline
from sphereslim.studies.distilled import Start, start_base
from sphereslim.studies.entropy import layer_rows, layer_table, layers_figure, net_rows, net_table
from sphereslim.studies.page import keep_on_page
from sphereslim.studies.pipeline import run_stages
from sphereslim.studies.prune_figures import base_figures, channel_figures, course_figures
from sphereslim.studies.prune_runs import Base, whole_times
from sphereslim.training.schedule import Schedule

SETTINGS = {
    'batches': 'count',
    'seed': 'whole',
    'time_batch': 'count',
    'stage_pairs?': 'count',
    'nets': 'settings',
    'single': 'settings',
}
NET = {
    'net': 'text',
    'layers': 'texts',
    'rates': 'numbers',
    'base': 'settings',
    'fine_tune': 'settings',
    'width?': 'positive',
    'size?': 'count',
    'fit_start?': 'switch',
    'distilled?': 'settings',
    'own?': 'settings',
}
SINGLE = {'net': 'text', 'layers': 'texts', 'rate': 'positive', 'seeds': 'wholes', 'fine_tune': 'settings'}


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    settings = settings_of(args.settings)
    faces, out = open_faces(args.faces), Path(args.out)
    nets = args.nets.split(',') if args.nets else list(settings['nets'])
    if set(nets) - set(settings['nets']):
        raise SlimError(f'--nets {args.nets}: expected some of {", ".join(settings["nets"])}')
    with only_one(out):
        bases = {name: make_base(args, settings, faces, name) for name in nets}
        runs = [
            (base, rate, make_run(args, settings, base, rate))
            for base in bases.values()
            for rate in settings['nets'][base.name]['rates']
        ]
        single = settings['single']
        tries = single_runs(args, single, bases[single['net']]) if single['net'] in bases else {}
        plans = [*(base.plan for base in bases.values()), *(plan for _, _, plan in runs), *tries.values()]
        for plan in plans:
            pipeline.check(plan)
        for name, base in bases.items():
            start = Start.from_settings(settings['nets'][name], f'{args.settings}: {name}')
            if start:
                start_base(start, base.plan, args.gpu, f'{name} ')
        for number, plan in enumerate(plans, 1):
            run_stages(plan, args.gpu, f'run {number} of {len(plans)}, {plan.folder.relative_to(out)} ')
        report(args, settings, list(bases.values()), runs, tries)


def settings_of(path: str | Path) -> dict[str, Any]:
    """The settings file's values, each of them checked."""
    settings = read_settings(path, SETTINGS)
    for name, net in settings['nets'].items():
        checked(net, NET, f'{path}: {name}')
    checked(settings['single'], SINGLE, f'{path}: single')
    return settings


def make_base(args: argparse.Namespace, settings: dict[str, Any], faces: Faces, name: str) -> Base:
    """The Base of a network in the settings."""
    chosen = settings['nets'][name]
    folder = Path(args.out) / name
    source = (args.root or checkout(chosen['net'])) / chosen['net']
    net = scaled_folder(source, folder / 'net', chosen.get('width', 1), chosen.get('size'))
    schedules = {
        part: Schedule.from_dict(chosen[part], f'{args.settings}: {name}: {part}') for part in ('base', 'fine_tune')
    }
    plan = pipeline.Plan(
        folder,
        net,
        faces,
        (),
        1.0,
        'entropy',
        last_round=None,
        batches=settings['batches'],
        seed=settings['seed'],
        crop='resize',
        fit_start=chosen.get('fit_start', False),
        base=schedules['base'],
        fine_tune=schedules['fine_tune'],
        stage_pairs=settings.get('stage_pairs'),
    )
    return Base(name, plan, source)


def make_run(args: argparse.Namespace, settings: dict[str, Any], base: Base, rate: float) -> pipeline.Plan:
    """The Plan that prunes the layers of a base one after another, each with a schedule of its own where it has one."""
    chosen = settings['nets'][base.name]
    own = {
        layer: Schedule.from_dict(values, f'{args.settings}: {base.name}: {layer}')
        for layer, values in chosen.get('own', {}).items()
    }
    return base.pruned(f'rate-{rate:g}', chosen['layers'], rate, own=own or None)


def single_runs(
    args: argparse.Namespace, single: dict[str, Any], base: Base
) -> dict[tuple[str, str, int], pipeline.Plan]:
    """{(layer, criterion, seed): Plan} of the runs that prune one layer alone."""
    schedule = Schedule.from_dict(single['fine_tune'], f'{args.settings}: single')
    seeds = single['seeds'] if args.seeds is None else list(range(1, args.seeds + 1))
    return {
        (layer, criterion, seed): base.pruned(
            f'single/{layer}-{criterion}-{seed}',
            [layer],
            single['rate'],
            criterion=criterion,
            seed=seed,
            fine_tune=schedule,
        )
        for layer in single['layers']
        for criterion in ('entropy', 'random')
        for seed in seeds
    }


def report(
    args: argparse.Namespace,
    settings: dict[str, Any],
    bases: Sequence[Base],
    runs: Sequence[tuple[Base, float, pipeline.Plan]],
    tries: Mapping[tuple[str, str, int], pipeline.Plan],
) -> None:
    """Write the page of all runs into --out, and print its tables."""
    out = Path(args.out)
    speed = whole_times(
        out / 'times.json',
        bases,
        runs,
        lambda todo: bar(todo, desc='caffe time', leave=False),
        batch=settings['time_batch'],
        gpu=args.gpu and args.gpu.split(',')[0],
    )
    printed = read_json(PUBLISHED / 'entropy.json')
    nets, layers = net_rows(bases, runs, speed, printed), layer_rows(tries, printed)
    tables = [net_table(nets), *([layer_table(layers)] if layers else [])]
    facts = [
        ('settings', args.settings),
        ('trained nets', '; '.join(form_of(base, settings) for base in bases)),
        ('faces', f'{bases[0].plan.faces.count} pictures of {bases[0].plan.faces.people} people'),
        ('made by', command_line()),
    ]
    page = write_report(
        out,
        'Entropy-based filter selection',
        facts,
        tables,
        [
            *([layers_figure(layers)] if layers else []),
            *course_figures(bases, runs),
            *base_figures(bases, PUBLISHED),
            *channel_figures(runs),
        ],
        {'nets': nets, 'layers': layers},
    )
    if args.doc:
        keep_on_page(args.doc, 'entropy', tables, {'nets': nets, 'layers': layers})
    for table in tables:
        print(f'\n{table.title}\n{table_text(table)}')
    print(f'report: {page} (also report.md and report.json beside it)')


def form_of(base: Base, settings: dict[str, Any]) -> str:
    """How wide the trained net is, and how large its pictures are."""
    chosen, shape = settings['nets'][base.name], input_shape(read_net(base.plan.net / 'deploy.prototxt')) or ()
    size = 'x'.join(map(str, shape[2:]))
    return f'{base.name} at {chosen.get("width", 1):g} of its width on pictures of {size}'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--settings',
        default=str(SETTINGS_FOLDER / 'entropy.small.json'),
        help='JSON: nets with layers, rates and schedules (default: the small ones)',
    )
    parser.add_argument('--faces', required=True, help='folder with aligned/, train.txt and pairs.txt')
    parser.add_argument('--out', required=True, help='folder of the runs')
    parser.add_argument('--nets', help='only these nets of the settings, separated by commas')
    parser.add_argument('--seeds', type=int, help='how many seeds of the comparison with random filters')
    parser.add_argument(
        '--root', type=Path, help="folder that the settings name nets from (default: the project's checkout)"
    )
    add_doc(parser)
    parser.add_argument('--gpu', help='GPU number, several with commas, or all')
