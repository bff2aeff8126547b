"""Prune every channel group alone at several rates and measure what is lost: a table, a JSON file and a plot.

Without --pairs the loss is the mean of 1 - cos between the outputs before and after, on pictures of its own and with
no labels; with --pairs and --pictures it is the loss of verification accuracy. By default the layers that read the
removed channels are refitted before (least squares, no training). Run it again to continue after an interruption.
allocate.py spends a budget by the file that this writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sphereslim.commands.arguments.compared import ENDS, tell_softmax
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.pictures import add_pairs, add_pictures, feeds, form_of, pairs_folder
from sphereslim.commands.arguments.values import rates, whole
from sphereslim.criteria import CRITERIA
from sphereslim.criteria import criterion as find_criterion
from sphereslim.files import check_folder
from sphereslim.progress import bar
from sphereslim.pruning.measures import AccuracyLoss, OutputShift
from sphereslim.pruning.model import open_model
from sphereslim.pruning.reconstruct import Fit
from sphereslim.pruning.sensitivity import COLUMNS, SensitivityTable, study
from sphereslim.pruning.sensitivity_plot import draw
from sphereslim.report.text_tables import text_table, with_unit


def run(args: argparse.Namespace) -> None:
    out = Path(args.out)
    check_folder(out)
    find_criterion(args.criterion)
    model = open_model(args.deploy, args.weights, args.stage)
    tell_softmax(model.net, ENDS)
    feed, test = feeds(args, model.net, args.test_count)
    loss = accuracy_loss(args) if args.pairs else OutputShift(model, test)
    measured = subject(args)
    table = SensitivityTable(out / 'sensitivity.json', measured)
    study(
        model,
        table,
        args.rates,
        args.criterion,
        loss,
        feed,
        Fit(args.places),
        args.refit,
        args.seed,
        lambda todo: bar(todo, desc='pruning each group alone', unit='cut'),
    )
    draw(out / 'sensitivity.png', table.rows, measured)
    print(
        text_table(
            COLUMNS,
            [
                [
                    row.group or '(whole)',
                    f'{row.rate:g}',
                    row.kept or '',
                    with_unit(row.macs),
                    with_unit(row.parameters),
                    f'{row.loss:.4f}',
                ]
                for row in table.rows
            ],
        )
    )
    print(f'{out}/sensitivity.json, {out}/sensitivity.png')


def accuracy_loss(args: argparse.Namespace) -> AccuracyLoss:
    """The measure of the accuracy lost on --pairs; SlimError without --pictures."""
    return AccuracyLoss(args.pairs, pairs_folder(args), form_of(args), args.mirror, args.batch)


def subject(args: argparse.Namespace) -> dict[str, Any]:
    """What decides the figures, to know a table of the same study by."""
    loss = 'loss of accuracy' if args.pairs else '1 - cosine of outputs'
    return {
        'deploy': args.deploy,
        'weights': args.weights,
        'criterion': args.criterion,
        'loss': loss,
        'mirror': args.mirror if args.pairs else None,
        'refitted': args.refit,
        'pictures': args.count,
        'seed': args.seed,
        'stage': args.stage or None,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', help='deploy prototxt')
    parser.add_argument('weights', help='its caffemodel')
    parser.add_argument('--out', required=True, help='folder for sensitivity.json and sensitivity.png')
    parser.add_argument('--criterion', default='obs', help=f'{", ".join(CRITERIA)} (default obs)')
    parser.add_argument(
        '--rates', type=rates, default=[0.75, 0.5, 0.25], help='shares of channels to keep (default 0.75,0.5,0.25)'
    )
    add_pairs(parser, required=False)
    parser.add_argument(
        '--refit',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='refit the readers of removed channels first (default)',
    )
    parser.add_argument('--places', type=whole, default=40, help='outputs a picture to refit on (default 40)')
    parser.add_argument('--test-count', type=whole, default=96, help='pictures to measure the loss on (default 96)')
    add_net_stages(parser)
    add_pictures(parser)
