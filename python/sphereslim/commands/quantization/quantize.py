"""caffemodel -> qcaffemodel."""

from __future__ import annotations

import argparse
import os
from typing import Any

from sphereslim.commands.arguments.pictures import add_pictures, feeds
from sphereslim.commands.quantization.options import (
    NEAREST,
    SCHEME,
    SCHEMES,
    SCOPES,
    SECOND_ORDER,
    Subparsers,
    add_layers_and_coding,
    add_rounding,
    add_vectors,
    check_rounding,
    rounding_bar,
)
from sphereslim.files import check_writable, read_bytes, read_json
from sphereslim.net.weights_check import check_fits
from sphereslim.pruning.model import open_model
from sphereslim.quantization import quantize_net, read_caffemodel, write_quantized
from sphereslim.quantization.bits import parse_bits
from sphereslim.quantization.by_pictures import round_by_pictures


def add(commands: Subparsers) -> None:
    command = commands.add_parser('quantize', help='caffemodel -> qcaffemodel')
    command.add_argument('weights', help='a caffemodel')
    command.add_argument('--out', required=True, help='qcaffemodel to write')
    command.add_argument(
        '--bits',
        help='1 to 16; or conv1=8,conv2=6,*=5 (* all others, 32 keeps a layer '
        'as it is, without * layers not named stay as they are); or a JSON file of names and bits '
        '(default 6, or 1 for the binary scheme)',
    )
    command.add_argument(
        '--scheme',
        choices=SCHEMES,
        default=SCHEME,
        help=f'linear with a scale per filter (linear-filter), or linear min-max; log min-max with the sign as one of '
        'the bits (log) or beside them (log+sign: one bit more per weight); binary: sign times mean magnitude per '
        f'filter (default {SCHEME})',
    )
    command.add_argument(
        '--scope',
        choices=SCOPES,
        default='layer',
        help='one range and dictionary per blob (default), or for the whole network',
    )
    add_layers_and_coding(command)
    add_vectors(command)
    command.add_argument('--deploy', help='deploy prototxt: weights are checked against it, the file keeps it')
    add_rounding(command, NEAREST)
    add_pictures(command, required=False)
    command.set_defaults(action=run)


def run(options: argparse.Namespace) -> None:
    """Write the qcaffemodel and print its size."""
    check_writable(options.out)
    check_rounding(options)
    net = read_caffemodel(options.weights)
    bits = _read_bits(options.bits or ('1' if options.scheme == 'binary' else '6'))
    quantized = quantize_net(net, bits, options.scheme, options.scope, options.layers, options.vectors)
    if options.deploy:
        check_fits(net, options.deploy)
        quantized.deploy = read_bytes(options.deploy)
    if options.rounding == SECOND_ORDER:
        model = open_model(options.deploy, options.weights)
        (feed,) = feeds(options, model.net)
        round_by_pictures(quantized, model, feed, seed=options.seed, progress=rounding_bar)
    size = write_quantized(quantized, options.out, options.coding)
    before = os.path.getsize(options.weights)
    print(f'{options.out}: {size} bytes, {before / size:.2f} times smaller than {options.weights} ({before} bytes)')


def _read_bits(text: str) -> Any:
    return read_json(text) if text.endswith('.json') else parse_bits(text)
