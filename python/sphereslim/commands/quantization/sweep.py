"""Accuracy against size over bits."""

from __future__ import annotations

import argparse
import os

from sphereslim.commands.arguments.compared import ENDS, tell_softmax
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.pictures import add_pairs, add_pictures, form_of, pairs_folder
from sphereslim.commands.quantization.options import (
    CODINGS,
    LAYERS,
    SCHEME,
    SCHEMES,
    SCOPES,
    Subparsers,
    distance,
    in_stages,
)
from sphereslim.evaluation.measures import Measure, accuracy_of_test_phase, named_measure
from sphereslim.evaluation.verification import Verification
from sphereslim.files import check_folder, file_digest, write_bytes
from sphereslim.net.prototxt import read_net
from sphereslim.progress import bar
from sphereslim.quantization import read_caffemodel
from sphereslim.quantization.bits import parse_range
from sphereslim.quantization.sweep import Rows, combinations, plot, run_point, table_text


def add(commands: Subparsers) -> None:
    command = commands.add_parser(
        'sweep', help='accuracy against size over bits: one table, one plot; goes on where it was stopped'
    )
    command.add_argument('weights', help='a caffemodel')
    command.add_argument('--out', required=True, help='folder for the files, sweep.json, sweep.md and sweep.png')
    command.add_argument('--deploy', required=True, help='the prototxt to measure with')
    add_net_stages(command)
    command.add_argument('--bits', default='4-12', help='4-12 or 4,6,8 (default 4-12)')
    command.add_argument('--schemes', nargs='+', choices=SCHEMES[:-1], default=[SCHEME], help=f'default {SCHEME}')
    command.add_argument('--scopes', nargs='+', choices=SCOPES, default=['layer'], help='default layer')
    command.add_argument('--layers', nargs='+', choices=LAYERS, default=['all'], help='default all')
    command.add_argument('--coding', choices=CODINGS, default='none', help='entropy coding (default none)')
    command.add_argument(
        '--accuracy',
        metavar='MODULE:FUNCTION',
        help='measure with a function of (prototxt, caffemodel) that gives an accuracy',
    )
    add_pairs(command, required=False)
    command.add_argument(
        '--test-iterations',
        type=int,
        metavar='N',
        help="measure the mean of --top over N batches of the prototxt's own TEST data",
    )
    command.add_argument('--top', default='accuracy', help='the blob that --test-iterations reads (default accuracy)')
    add_pictures(command, required=False)
    command.set_defaults(action=in_stages(run))


def run(options: argparse.Namespace) -> None:
    """Files, table and plot of all combinations; those that are there are left alone."""
    check_folder(options.out)
    net = read_caffemodel(options.weights)
    if options.pairs:
        tell_softmax(read_net(options.deploy), ENDS)
    measure, name, logarithmic = _measure(options)
    os.makedirs(options.out, exist_ok=True)
    subject = {
        'weights': file_digest(options.weights, options.deploy),
        'measure': name,
        'coding': options.coding,
        'images': [options.images, options.count, options.seed, options.not_in],
        'form': [options.mean, options.scale, options.rgb, options.crop],
    }
    if options.pairs:
        subject['pairs'] = [file_digest(options.pairs), options.pictures, options.mirror]
    rows = Rows(options.out, subject)
    points = combinations(options.schemes, options.layers, options.scopes, parse_range(options.bits))
    for point in bar([p for p in points if not rows.find(p)], desc='sweep', unit='net'):
        rows.add(run_point(net, point, options.out, options.deploy, measure, options.coding))
    done = [row for row in map(rows.find, points) if row]
    reference = (os.path.getsize(options.weights), float(measure(options.deploy, options.weights)))
    text = table_text(done, reference, name)
    write_bytes(os.path.join(options.out, 'sweep.md'), text.encode())
    plot(done, reference, name, os.path.join(options.out, 'sweep.png'), logarithmic)
    print(text)


def _measure(options: argparse.Namespace) -> tuple[Measure, str, bool]:
    """(measure, its name, whether it is a distance, for a logarithmic axis)."""
    if options.pairs:
        measure = Verification(
            options.pairs,
            pairs_folder(options),
            form_of(options),
            options.mirror,
            progress=lambda starts: bar(starts, desc='features', unit='batch', leave=False),
        )
        return measure, 'verification accuracy, %', False
    if options.accuracy:
        return named_measure(options.accuracy), options.accuracy, False
    if options.test_iterations:
        return accuracy_of_test_phase(options.test_iterations, options.top), options.top, False
    return distance(options)[0], 'output distance (1 - cosine)', True
