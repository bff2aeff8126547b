"""Choose the channels that stay, step by step and without training, as `compress` does; refit what is left.

In every step of a twentieth each group is tried with several numbers of channels less, those cuts are made whose losses
add up to the least, and all layers are refitted by least squares. A last refit takes --count pictures more. The folder
then holds deploy.prototxt, weights.caffemodel, selection.json, and in channels/ every step, behind which a run that was
stopped goes on. In a folded net (`fold`) the trunks of residual blocks get fewer channels too.

example:
  sphereslim shrink folded/deploy.prototxt folded/net.caffemodel --images faces/ --macs 70% --out slim/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sphereslim.commands.arguments.budgets import COUNTED, add_counted
from sphereslim.commands.arguments.choice import add_choice
from sphereslim.commands.arguments.pictures import form_of
from sphereslim.commands.ending import continues
from sphereslim.compression.budgets import Budgets
from sphereslim.compression.channels import Channels
from sphereslim.compression.request import Counts, Request
from sphereslim.errors import SlimError
from sphereslim.files import check_folder, only_one, write_json
from sphereslim.pruning.model import open_model


@continues
def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    request = request_of(args)
    model = open_model(request.deploy, request.weights)
    limits = request.budgets.counted(model.net, request.weights.stat().st_size)
    if not limits:
        raise SlimError('nothing to do: expected --macs or --parameters')
    judge, test, refit = request.feeds(model.net)
    with only_one(request.out):
        channels = Channels(model, judge, test, request.out / 'channels', request.multiple, request.seed)
        step = channels.refined(limits, channels.within(limits), refit)
        deploy, _ = step.model().save(request.out)
    write_json(
        request.out / 'selection.json',
        {'selections': [{'layer': name, 'kept': indices} for name, indices in step.kept.items()]},
    )
    print(f'{deploy}: {step.macs:,} MACs, {step.parameters:,} parameters, 1 - cosine {step.loss:.4f} to {args.deploy}')


def request_of(args: argparse.Namespace) -> Request:
    """The Request that the arguments say."""
    return Request(
        args.deploy,
        args.weights,
        Path(args.images),
        args.out,
        Budgets(args.macs, args.parameters),
        form=form_of(args),
        not_in=Path(args.not_in) if args.not_in else None,
        multiple=args.multiple,
        counts=Counts(args.judge_count, args.test_count, args.count),
        batch=args.batch,
        seed=args.seed,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', type=Path, help='deploy prototxt')
    parser.add_argument('weights', type=Path, help='its caffemodel')
    parser.add_argument('--out', type=Path, required=True, help='folder of the result')
    for name, what in COUNTED.items():
        add_counted(parser, name, what)
    add_choice(parser)
