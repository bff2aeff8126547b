"""Fold norms, scales and biases into the weights before or behind them: fewer layers that compute the same.

Writes prototxt and caffemodel into the output folder, under their own file names, as the net is in phase TEST. Both
nets are run on random inputs first, and nothing is written where their outputs differ by more than rounding. --check
holds a net that was folded elsewhere against the original, and names the layers and channels that differ.

examples:
  sphereslim fold deploy.prototxt net.caffemodel --out folded/
  sphereslim fold deploy.prototxt net.caffemodel --check merged.prototxt merged.caffemodel
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sphereslim.commands.arguments.values import seed, shape
from sphereslim.errors import SlimError
from sphereslim.files import check_folder
from sphereslim.net.prototxt import read_net, write_prototxt
from sphereslim.net.weights import read_caffemodel, write_weights
from sphereslim.net.weights_check import check_same_net
from sphereslim.report.text_tables import text_table
from sphereslim.rewrite.fold import Folding, fold
from sphereslim.rewrite.fold_check import ROUNDING, LayerDifference, Model, layer_differences, output_difference


def run(options: argparse.Namespace) -> None:
    if not (options.out or options.check):
        raise SlimError('nothing to do: expected --out or --check')
    if options.out:
        check_folder(options.out)
    model = _read(options.net, options.weights)
    folding = fold(*model)
    if options.check:
        check(model, folding, options)
    if options.out:
        save(model, folding, options)


def save(model: Model, folding: Folding, options: argparse.Namespace) -> None:
    """Write the folded net, once it gives what the original does."""
    blob, difference = _largest(output_difference(model, (folding.net, folding.weights), options.shape, options.seed))
    told = f"output '{blob}' on random inputs differs by {difference:.1e} of its largest value"
    if not difference <= ROUNDING:
        raise SlimError(f'{options.net}: folded, {told}, expected less than {ROUNDING:g}')
    targets = [Path(options.out) / Path(path).name for path in (options.net, options.weights)]
    for target, source in zip(targets, (options.net, options.weights)):
        if target.exists() and target.samefile(source):
            raise SlimError(f'{target}: is an input, expected another output folder')
    write_prototxt(targets[0], folding.net)
    write_weights(targets[1], folding.weights)
    for layer, reason in folding.left.items():
        print(f"stays: layer '{layer}' {reason}")
    print(f'{targets[0]}, {targets[1]}: {len(folding.merged)} layers folded, {len(folding.left)} stay; {told}')


def check(model: Model, folding: Folding, options: argparse.Namespace) -> None:
    """Print where a net folded elsewhere differs; SlimError if its outputs do."""
    given = _read(*options.check)
    blob, difference = _largest(output_difference(model, given, options.shape, options.seed))
    differing = layer_differences(folding, given)
    if differing:
        print(text_table(('layer', 'channels', 'largest difference', 'as if eps was'), map(_row, differing)))
    told = f"output '{blob}' on random inputs differs by {difference:.1e} of its largest value"
    if not difference <= ROUNDING:
        channels = f'{sum(len(d.channels) for d in differing)} channels of {len(differing)} layers'
        raise SlimError(f'{options.check[0]}: is not {options.net} folded: {told}; {channels} differ')
    print(f'{options.check[0]}: is {options.net} folded, {told}')


def _read(net: str, weights: str) -> Model:
    """A prototxt and its caffemodel; SlimError where the one is not of the other."""
    model = read_net(net), read_caffemodel(weights)
    check_same_net(model[1], [layer.name for layer in model[0].layer], net, weights)
    return model


def _largest(differences: dict[str, float]) -> tuple[str, float]:
    return max(differences.items(), key=lambda item: item[1])


def _row(difference: LayerDifference) -> list[str]:
    eps = f'{difference.eps[1]:.2g}, not {difference.eps[0]:.2g}' if difference.eps else ''
    few = ', '.join(map(str, difference.channels[:8])) + (', …' if len(difference.channels) > 8 else '')
    counted = f'{len(difference.channels)} of {difference.of}: {few}'
    return [difference.layer, counted, f'{difference.largest:.1e}', eps]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('net', metavar='PROTOTXT', help='a net')
    parser.add_argument('weights', metavar='CAFFEMODEL', help='its weights')
    parser.add_argument('--out', metavar='FOLDER', help='where the folded files go')
    parser.add_argument('--check', nargs=2, metavar=('PROTOTXT', 'CAFFEMODEL'), help='a net folded elsewhere')
    parser.add_argument(
        '--shape', type=shape, metavar='N,C,H,W', help='size of the input where the net does not say it'
    )
    parser.add_argument('--seed', type=seed, default=0, help='of the random inputs (default 0)')
