"""Make a model smaller after several goals, each by `compress`, and tell which of them are reached.

The settings file says what is asked: budgets, minutes of training, seeds, and accuracies by list of pairs. Every goal
has a folder with its nets and report. Run it again to continue after an interruption, or with more goals; what is there
is kept. --docs writes the tables into the pages that the goals name.

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
from sphereslim.data.pairs import PairSet
from sphereslim.errors import SlimError
from sphereslim.files import ResultsFile, check_folder, check_writable, only_one
from sphereslim.net.prototxt import read_net
from sphereslim.report.markdown import table_text
from sphereslim.report.write import write_into, write_report
from sphereslim.settings import checked, read_settings
from sphereslim.studies.goals import MARKS, Goal, pursue, tables

NAMES = {'sets': 'settings', 'goals': 'settings'}
GOAL = {
    'title': 'text',
    'page': 'text',
    'macs?': 'text',
    'parameters?': 'text',
    'bytes?': 'text',
    'train_minutes?': 'number',
    'seeds?': 'wholes',
    'at_least?': 'settings',
    'lost_at_most?': 'settings',
}


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    settings = read_settings(args.settings, NAMES)
    sets = named_sets(args, settings['sets'])
    goals = list(goals_of(args, settings, [each.name for each in sets]))
    if args.docs:
        check_writable(*(args.docs / goal.page for goal in goals), endings=('.md',))
    wanted = args.goals.split(',') if args.goals else list(settings['goals'])
    if set(wanted) - set(settings['goals']):
        raise SlimError(f'--goals {args.goals}: expected some of {", ".join(settings["goals"])}')
    tell_softmax(read_net(args.deploy), ENDS)
    base = request_of(args, sets)
    subject = {name: value for name, value in base.subject().items() if name != 'seed'}
    with only_one(args.out):
        known = ResultsFile(args.out / 'results.json', subject)
        for goal in goals:
            if goal.key in wanted:
                pursue(goal, base, known, lambda line: print(line, flush=True))
        report(args, goals, known.results)


def named_sets(args: argparse.Namespace, names: Mapping[str, str]) -> list[PairSet]:
    """The PairSets of the arguments, called as the settings say: {name: pairs file without folder and ending}."""
    called = {stem: name for name, stem in names.items()}
    return [PairSet(called.get(each.name, each.name), each.pairs, each.pictures) for each in sets_of(args)]


def goals_of(args: argparse.Namespace, settings: Mapping[str, Any], sets: list[str]) -> Iterator[Goal]:
    """The Goals of the settings, one for each seed; SlimError for aims on pairs that are not in `sets`."""
    for key, values in settings['goals'].items():
        where = f'{args.settings}: {key}'
        checked(values, GOAL, where)
        aims = values.get('at_least', {}), values.get('lost_at_most', {})
        for name in checked({**aims[0], **aims[1]}, dict.fromkeys((*aims[0], *aims[1]), 'number'), where):
            if name not in sets:
                file = settings['sets'].get(name, name)
                raise SlimError(f'{where}: asks for an accuracy on {name}, expected --pairs {file}.txt among others')
        macs, parameters, size = (_budget(values, name, where) for name in ('macs', 'parameters', 'bytes'))
        budgets = Budgets(macs, parameters, size)
        if budgets.is_empty():
            raise SlimError(f'{where}: expected macs, parameters or bytes')
        for seed in values.get('seeds', [args.seed]):
            minutes = values.get('train_minutes', 0.0)
            yield Goal(key, values['title'], values['page'], budgets, minutes, seed, *aims)


def _budget(values: Mapping[str, Any], name: str, where: str) -> Budget | None:
    if name not in values:
        return None
    try:
        return budget(values[name])
    except argparse.ArgumentTypeError as error:
        raise SlimError(f'{where}: {name} {error}') from None


def request_of(args: argparse.Namespace, sets: list[PairSet]) -> Request:
    """What all goals have in common, as a Request in the study's folder."""
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


def report(args: argparse.Namespace, goals: list[Goal], results: dict[str, Any]) -> None:
    """Write report.html, .md and .json into the study's folder, and the tables into the pages of --docs."""
    pages = tables(goals, results)
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
        help='JSON file of the goals (default: those of docs/mobilefacenet.md)',
    )
    parser.add_argument('--goals', help='some goals of the settings, separated by commas (default: all)')
    parser.add_argument('--docs', type=Path, help='folder of the pages that get the tables')
    parser.add_argument('--gpu', help='GPU number for trainings')
    parser.add_argument('--judge-count', type=whole, default=96, help='pictures to judge channels on (default 96)')
    parser.add_argument('--test-count', type=whole, default=64, help='pictures to measure losses on (default 64)')
    add_pairs(parser, several=True)
    add_pictures(parser, count=512)
