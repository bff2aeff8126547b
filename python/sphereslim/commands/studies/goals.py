"""Make a model smaller in several ways, each by `compress`, and tell which goals the nets reach.

The settings file says what is run, by budgets, minutes of training and seeds, and what is asked of the nets: accuracies
by list of pairs. Every run has a folder with its nets and report. Start it again to continue after an interruption, or
with more runs; what is there is kept. --docs writes the tables into the pages that the goals name.

example:
  sphereslim goals deploy.prototxt net.caffemodel --images faces/ --not-in pairs.txt \\
      --pairs folds.txt --pictures lfw/ --pairs pairs_fp.txt --pictures cfp/ --out work/goals --docs docs/
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sphereslim.checkout import SETTINGS
from sphereslim.commands.arguments.budgets import budget
from sphereslim.commands.arguments.compared import ENDS, tell_softmax
from sphereslim.commands.arguments.pictures import add_pairs, add_pictures, form_of, sets_of
from sphereslim.commands.arguments.values import whole
from sphereslim.commands.command_line import command_line
from sphereslim.compression.budgets import Budget, Budgets
from sphereslim.compression.request import Counts, Request
from sphereslim.compression.run import DISTILLED, IN_FEWER_BITS, NETS, REFITTED
from sphereslim.data.pairs import PairSet
from sphereslim.errors import SlimError
from sphereslim.files import ResultsFile, check_folder, check_writable, only_one
from sphereslim.net.prototxt import read_net
from sphereslim.report.markdown import table_text
from sphereslim.report.write import write_into, write_report
from sphereslim.settings import checked, read_settings
from sphereslim.studies.goals import MARKS, Goal, Run, pursue, tables

NAMES = {'sets': 'settings', 'runs': 'settings'}
RUN = {
    'macs?': 'text',
    'parameters?': 'text',
    'bytes?': 'text',
    'train_minutes?': 'number',
    'seeds?': 'wholes',
    'goals': 'settings',
}
NEEDED = {  # by a run that makes the net
    REFITTED: 'macs or parameters',
    DISTILLED: 'macs or parameters, and train_minutes',
    IN_FEWER_BITS: 'a budget',
}
GOAL = {'title': 'text', 'page': 'text', 'at_least?': 'settings', 'lost_at_most?': 'settings'}


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    settings = read_settings(args.settings, NAMES)
    sets = named_sets(args, settings['sets'])
    runs = list(runs_of(args, settings, [each.name for each in sets]))
    if args.docs:
        check_writable(*(args.docs / goal.page for each in runs for goal in each.goals), endings=('.md',))
    wanted = args.only.split(',') if args.only else list(settings['runs'])
    if set(wanted) - set(settings['runs']):
        raise SlimError(f'--only {args.only}: expected some of {", ".join(settings["runs"])}')
    tell_softmax(read_net(args.deploy), ENDS)
    base = request_of(args, sets)
    subject = {name: value for name, value in base.subject().items() if name != 'seed'}
    with only_one(args.out):
        known = ResultsFile(args.out / 'results.json', subject)
        for each in runs:
            if each.key in wanted:
                pursue(each, base, known, lambda line: print(line, flush=True))
        report(args, runs, known.results)


def named_sets(args: argparse.Namespace, names: Mapping[str, str]) -> list[PairSet]:
    """The PairSets of the arguments, called as the settings say: {name: pairs file without folder and ending}."""
    called = {stem: name for name, stem in names.items()}
    return [PairSet(called.get(each.name, each.name), each.pairs, each.pictures) for each in sets_of(args)]


def runs_of(args: argparse.Namespace, settings: Mapping[str, Any], sets: list[str]) -> Iterator[Run]:
    """The Runs of the settings, one for each seed; SlimError for aims on pairs that are not in `sets`."""
    for key, values in settings['runs'].items():
        where = f'{args.settings}: {key}'
        checked(values, RUN, where)
        macs, parameters, size = (_budget(values, name, where) for name in ('macs', 'parameters', 'bytes'))
        budgets = Budgets(macs, parameters, size)
        if budgets.is_empty():
            raise SlimError(f'{where}: expected macs, parameters or bytes')
        goals = tuple(_goals_of(values['goals'], where, settings['sets'], sets))
        for seed in values.get('seeds', [args.seed]):
            run = Run(key, goals, budgets, values.get('train_minutes', 0.0), seed)
            for goal in goals:
                if not run.has(goal.net):
                    raise SlimError(f"{where}: makes no net '{goal.net}', expected {NEEDED[goal.net]}")
            yield run


def _goals_of(stated: Mapping[str, Any], where: str, files: Mapping[str, str], sets: list[str]) -> Iterator[Goal]:
    """The Goals of a run by the nets they are about; `files` are the stems of the pairs files by name."""
    for net, values in stated.items():
        if net not in NETS:
            raise SlimError(f"{where}: asks for a net '{net}', expected {', '.join(NETS)}")
        checked(values, GOAL, f'{where}: {net}')
        aims = values.get('at_least', {}), values.get('lost_at_most', {})
        for name in checked({**aims[0], **aims[1]}, dict.fromkeys((*aims[0], *aims[1]), 'number'), f'{where}: {net}'):
            if name not in sets:
                file = files.get(name, name)
                raise SlimError(f'{where}: asks for an accuracy on {name}, expected --pairs {file}.txt among others')
        yield Goal(net, values['title'], values['page'], *aims)


def _budget(values: Mapping[str, Any], name: str, where: str) -> Budget | None:
    if name not in values:
        return None
    try:
        return budget(values[name])
    except argparse.ArgumentTypeError as error:
        raise SlimError(f'{where}: {name} {error}') from None


def request_of(args: argparse.Namespace, sets: list[PairSet]) -> Request:
    """What all runs have in common, as a Request in the study's folder."""
    return Request(
        args.deploy,
        args.weights,
        Path(args.images),
        args.out,
        sets=tuple(sets),
        form=form_of(args),
        mirror=args.mirror,
        not_in=Path(args.not_in) if args.not_in else None,
        counts=Counts(args.judge_count, args.test_count, args.count),
        batch=args.batch,
        gpu=args.gpu,
    )


def report(args: argparse.Namespace, runs: list[Run], results: dict[str, Any]) -> None:
    """Write report.html, .md and .json into the study's folder, and the tables into the pages of --docs."""
    pages = tables(runs, results)
    shown = [table for page in pages.values() for table in page]
    facts = [('model', f'{args.deploy}, {args.weights}'), ('made by', command_line())]
    written = write_report(args.out, f'{args.weights.stem} after goals', facts, shown, [], {'results': results})
    for page, parts in pages.items():
        print(f'\n{table_text(parts[0])}')
        if args.docs:
            write_into(args.docs / page, MARKS, parts)
    print(f'\nreport: {written}')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', type=Path, help='deploy prototxt')
    parser.add_argument('weights', type=Path, help='its caffemodel')
    parser.add_argument('--out', type=Path, required=True, help='folder of the study')
    parser.add_argument(
        '--settings',
        default=SETTINGS / 'mobilefacenet.json',
        help='JSON file of the runs and goals (default: those of docs/mobilefacenet.md)',
    )
    parser.add_argument('--only', help='some runs of the settings, separated by commas (default: all)')
    parser.add_argument('--docs', type=Path, help='folder of the pages that get the tables')
    parser.add_argument('--gpu', help='GPU number for trainings')
    parser.add_argument('--judge-count', type=whole, default=96, help='pictures to judge channels on (default 96)')
    parser.add_argument('--test-count', type=whole, default=64, help='pictures to measure losses on (default 64)')
    add_pairs(parser, several=True)
    add_pictures(parser, count=512)
