#!/usr/bin/env python3
"""Print parameters, multiply-accumulates and activation memory of a network, per layer and in total.

Layers of the network itself, the classifier, the loss and the data are summed apart; which is which follows from how
they are connected. Train and deploy prototxts both work and need no data. MACs are those of convolutions and inner
products.
"""

import argparse
import json
import os

from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.values import shape
from sphereslim.commands.ending import run_command
from sphereslim.errors import SlimError
from sphereslim.net.costs import KINDS, as_json, measure, total
from sphereslim.net.phases import with_net_stages
from sphereslim.net.prototxt import read_net
from sphereslim.report.text_tables import text_table


def arguments():
    example = 'Example: tools/model_stats.py prototxt/vgg16/deploy.prototxt'
    parser = argparse.ArgumentParser(description=__doc__, epilog=example)
    parser.add_argument('net', metavar='NET.prototxt', help='a train or deploy prototxt')
    parser.add_argument('--weights', metavar='W.caffemodel', help='check that these fit, and show the share of zeros')
    parser.add_argument(
        '--input',
        type=shape,
        metavar='N,C,H,W',
        help="shape of the pictures, e.g. 1,3,112,96 (default: the prototxt's own)",
    )
    add_net_stages(parser)
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    return parser.parse_args()


def layer_row(stats, with_zeros):
    """The cells of a LayerStats; empty where a number is zero or not known."""
    shape = 'x'.join(str(n) for n in stats.shape)
    numbers = (stats.parameters, stats.macs, stats.activation_bytes)
    zeros = '' if stats.zeros is None else f'{stats.zeros:.1%}'
    return [stats.name, stats.type, stats.kind, shape, *(f'{n:,}' if n else '' for n in numbers)] + [zeros] * with_zeros


def total_row(name, sums):
    numbers = (sums.parameters, sums.macs, sums.activation_bytes, sums.model_bytes)
    return [name, sums.layers, *(f'{n:,}' for n in numbers)]


def report(name, stats, with_zeros):
    """The tables of layers and of totals as text."""
    columns = ['layer', 'type', 'part', 'output', 'parameters', 'MACs', 'activation bytes'] + ['zeros'] * with_zeros
    layers = text_table(columns, [layer_row(s, with_zeros) for s in stats], left=4)
    sums = [(kind, total(stats, kind)) for kind in KINDS]
    rows = [total_row(kind, s) for kind, s in sums if s.layers] + [total_row('all', total(stats))]
    totals = text_table(['part', 'layers', 'parameters', 'MACs', 'activation bytes', 'model bytes'], rows)
    return f'{name}\n\n{layers}\n\n{totals}'


def main():
    args = arguments()
    net = with_net_stages(read_net(args.net), args.stage)
    os.environ.setdefault('GLOG_minloglevel', '2')
    try:
        stats = measure(net, args.input, args.weights)
    except SlimError as error:
        hint = '' if args.input else ' (--input gives one)' * ('a shape' in str(error))
        raise SlimError(f'{args.net}: {error}{hint}') from None
    if args.json:
        print(json.dumps({'net': net.name} | as_json(stats), indent=2))
    else:
        print(report(net.name or args.net, stats, bool(args.weights)))


if __name__ == '__main__':
    run_command(main)
