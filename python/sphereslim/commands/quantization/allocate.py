"""Bits per layer under a size budget."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sphereslim.commands.arguments.budgets import add_budget
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.pictures import add_pictures, feeds
from sphereslim.commands.arguments.values import whole
from sphereslim.commands.quantization.options import (
    NEAREST,
    SCHEME,
    SCHEMES,
    SECOND_ORDER,
    Subparsers,
    add_layers_and_coding,
    add_rounding,
    add_vectors,
    check_rounding,
    distance,
    in_stages,
    measure_on,
    rounding_bar,
)
from sphereslim.evaluation.measures import OutputMeasure
from sphereslim.files import check_writable, file_digest, write_json
from sphereslim.net.weights_check import check_fits
from sphereslim.progress import bar
from sphereslim.pruning.model import open_model
from sphereslim.quantization import quantize_net, read_caffemodel, write_quantized
from sphereslim.quantization.bit_allocation import Quantizer, fit_budget, measure_costs, quantizable_layers
from sphereslim.quantization.bits import parse_range
from sphereslim.quantization.by_pictures import RoundedAlone, RoundedTogether
from sphereslim.quantization.quantized_net import QuantizedNet, load_weights


def add(commands: Subparsers) -> None:
    command = commands.add_parser(
        'allocate', help='bits per layer by sensitivity under a size budget; goes on where it was stopped'
    )
    command.add_argument('weights', help='a caffemodel')
    command.add_argument(
        '--out', required=True, help='qcaffemodel to write; OUT.bits.json and OUT.costs.json go beside it'
    )
    command.add_argument('--deploy', required=True, help='the deploy prototxt')
    add_net_stages(command)
    add_budget(command, 'bytes')
    command.add_argument('--bits', default='2-10', help='widths to choose from (default 2-10)')
    command.add_argument('--scheme', choices=SCHEMES[:-1], default=SCHEME, help=f'default {SCHEME}')
    add_vectors(command)
    add_layers_and_coding(command)
    add_rounding(command, NEAREST)
    command.add_argument(
        '--test-count',
        type=whole,
        default=32,
        help=f'with --rounding {SECOND_ORDER}: pictures to measure distances on, beside the --count it looks at '
        '(default 32)',
    )
    add_pictures(command, required=False)
    command.set_defaults(action=in_stages(run))


def run(options: argparse.Namespace) -> None:
    """Write the qcaffemodel of least output distance within --budget, and its bits."""
    check_writable(options.out)
    check_rounding(options)
    net = read_caffemodel(options.weights)
    check_fits(net, options.deploy)
    outline: Quantizer = partial(quantize_net, scheme=options.scheme, vectors=options.vectors)
    paths: Sequence[str | Path]
    if options.rounding == SECOND_ORDER:
        model = open_model(options.deploy, options.weights)
        feed, test = feeds(options, model.net, options.test_count)
        measure, paths = measure_on(options, test), [*feed.paths, *test.paths]
        alone: Quantizer = RoundedAlone(model, feed, options.vectors, seed=options.seed)
        build: Quantizer = RoundedTogether(outline, model, feed, options.seed, rounding_bar)
    else:
        measure, paths = distance(options)
        alone = build = outline
    layers = quantizable_layers(net, options.scheme, options.layers)
    costs = measure_costs(
        net,
        measure.distance,
        layers,
        parse_range(options.bits),
        options.coding,
        alone,
        f'{options.out}.costs.json',
        _subject(options, paths),
        lambda todo: bar(todo, desc='layers x bits'),
    )
    limit = int(options.budget.of(os.path.getsize(options.weights), 'bytes'))
    quantized, bits = fit_budget(
        costs,
        limit,
        options.coding,
        partial(outline, net),
        partial(build, net),
        lambda size: print(f'{size} bytes are more than {limit}, again with fewer bits', flush=True),
    )
    _write(options, quantized, bits, measure, limit)


def _subject(options: argparse.Namespace, paths: Sequence[str | Path]) -> dict[str, Any]:
    """What decides the costs."""
    return {
        'files': file_digest(options.weights, options.deploy, *paths),
        'scheme': options.scheme,
        'coding': options.coding,
        'pixels': [options.mean, options.scale, options.rgb, options.crop],
        'rounding': options.rounding,
    }


def _write(
    options: argparse.Namespace,
    quantized: QuantizedNet,
    bits: Mapping[str, int],
    measure: OutputMeasure,
    limit: int,
) -> None:
    size = write_quantized(quantized, options.out, options.coding)
    write_json(f'{options.out}.bits.json', bits)
    for name, width in bits.items():
        print(f'{width:3d} bits  {name}')
    load_weights(measure.distance.net, quantized)
    print(f'{options.out}: {size} bytes of {limit}, output distance (1 - cosine) {measure.distance():.6g}')
