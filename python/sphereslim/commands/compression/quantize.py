"""Quantize a caffemodel into a .qcaffemodel, and back; sweep bits; spread bits over layers under a size budget.

examples:
  sphereslim quantize quantize net.caffemodel --bits 6 --deploy deploy.prototxt --out net.qcaffemodel
  sphereslim quantize inspect net.qcaffemodel
  sphereslim quantize dequantize net.qcaffemodel --write-deploy small.prototxt --out small.caffemodel
  sphereslim quantize sweep net.caffemodel --deploy deploy.prototxt --images faces/ --bits 4-12 --out sweep/
  sphereslim quantize sweep net.caffemodel --deploy deploy.prototxt --pairs pairs.txt --pictures lfw/ --out sweep/
  sphereslim quantize allocate net.caffemodel --deploy deploy.prototxt --images faces/ --budget 1000000 \\
      --coding zlib --out net.qcaffemodel
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphereslim.commands.arguments.budgets import add_budget
from sphereslim.commands.arguments.compared import ENDS, tell_softmax
from sphereslim.commands.arguments.net_stages import add_net_stages, in_net_stages
from sphereslim.commands.arguments.pictures import add_pairs, add_pictures, feeds, form_of, pairs_folder
from sphereslim.errors import SlimError
from sphereslim.evaluation.measures import Measure, OutputMeasure, accuracy_of_test_phase, named_measure
from sphereslim.evaluation.verification import Verification
from sphereslim.files import check_folder, check_writable, file_digest, read_bytes, read_json, write_bytes, write_json
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights_check import check_fits
from sphereslim.progress import bar
from sphereslim.quantization import (
    dequantize,
    quantize_net,
    read_caffemodel,
    read_quantized,
    write_quantized,
)
from sphereslim.quantization.bit_allocation import fit_budget, measure_costs, quantizable_layers
from sphereslim.quantization.bits import parse_bits, parse_range
from sphereslim.quantization.inspect import inspect_text
from sphereslim.quantization.quantized_net import load_weights
from sphereslim.quantization.sweep import Rows, combinations, plot, run_point, table_text

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

SCHEMES = ('log', 'log+sign', 'linear', 'linear-filter', 'binary')
SCHEME = 'linear-filter'
SCOPES = ('layer', 'network')
LAYERS = ('conv', 'all')
CODINGS = ('none', 'zlib', 'lzma')


def run(options: argparse.Namespace) -> None:
    options.action(options)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    _add_quantize(commands)
    _add_dequantize(commands)
    _add_inspect(commands)
    _add_sweep(commands)
    _add_allocate(commands)


def _in_stages(run: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """A command `run` for which `options.deploy` is in the stages of `options.stage`."""

    def call(options: argparse.Namespace) -> None:
        with in_net_stages(options.deploy, options.stage) as options.deploy:
            run(options)

    return call


def _add_quantize(commands: Subparsers) -> None:
    command = commands.add_parser('quantize', help='caffemodel -> qcaffemodel')
    command.add_argument('weights', help='a caffemodel')
    command.add_argument('--out', required=True, help='qcaffemodel to write')
    command.add_argument(
        '--bits',
        help='1 to 16; or conv1=8,conv2=6,*=5 (* all others, 32 keeps a layer '
        'as it is, without * layers not named stay as they are); or a JSON file of names and bits '
        '(default 6, or 1 for the binary scheme)',
    )
    _add_scheme(command)
    command.add_argument(
        '--vectors',
        type=int,
        metavar='BITS',
        help='also quantize biases, slopes and norm statistics of the chosen layers (they stay float32 otherwise)',
    )
    command.add_argument('--deploy', help='deploy prototxt: weights are checked against it, the file keeps it')
    command.set_defaults(action=run_quantize)


def _add_scheme(command: argparse.ArgumentParser) -> None:
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
    _add_layers_and_coding(command)


def _add_layers_and_coding(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        '--layers', choices=LAYERS, default='all', help='quantize convolutions only, or every layer (default)'
    )
    command.add_argument(
        '--coding', choices=CODINGS, default='none', help='entropy coding of the indices (default none)'
    )


def _add_sweep(commands: Subparsers) -> None:
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
    command.set_defaults(action=_in_stages(run_sweep))


def _add_allocate(commands: Subparsers) -> None:
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
    command.add_argument('--vectors', type=int, metavar='BITS', help='also quantize biases, slopes and norm statistics')
    _add_layers_and_coding(command)
    add_pictures(command, required=False)
    command.set_defaults(action=_in_stages(run_allocate))


def _add_dequantize(commands: Subparsers) -> None:
    command = commands.add_parser('dequantize', help='qcaffemodel -> caffemodel that any Caffe reads')
    command.add_argument('quantized', help='a qcaffemodel')
    command.add_argument('--out', required=True, help='caffemodel to write')
    command.add_argument('--deploy', help='a prototxt to check the weights against')
    command.add_argument('--write-deploy', metavar='FILE', help='also write the deploy prototxt kept in the file')
    command.set_defaults(action=run_dequantize)


def _add_inspect(commands: Subparsers) -> None:
    command = commands.add_parser(
        'inspect',
        help='what is in a qcaffemodel, blob by blob, and what it takes',
        description='Print a line for every blob: bits per weight, entries of its dictionary, '
        'bytes, and error, the length of what quantizing changed over that of the weights '
        '(0.02 is 2 %); then the bytes of each use and of the file.',
    )
    command.add_argument('quantized', help='a qcaffemodel')
    command.set_defaults(action=lambda options: print(inspect_text(options.quantized)))


def run_quantize(options: argparse.Namespace) -> None:
    """caffemodel -> qcaffemodel."""
    check_writable(options.out)
    net = read_caffemodel(options.weights)
    bits = _read_bits(options.bits or ('1' if options.scheme == 'binary' else '6'))
    quantized = quantize_net(net, bits, options.scheme, options.scope, options.layers, options.vectors)
    if options.deploy:
        check_fits(net, options.deploy)
        quantized.deploy = read_bytes(options.deploy)
    size = write_quantized(quantized, options.out, options.coding)
    before = os.path.getsize(options.weights)
    print(f'{options.out}: {size} bytes, {before / size:.2f} times smaller than {options.weights} ({before} bytes)')


def _read_bits(text: str) -> Any:
    return read_json(text) if text.endswith('.json') else parse_bits(text)


def run_dequantize(options: argparse.Namespace) -> None:
    """qcaffemodel -> caffemodel."""
    check_writable(options.out, options.write_deploy)
    quantized = read_quantized(options.quantized)
    net = dequantize(quantized)
    if options.deploy:
        check_fits(net, options.deploy)
    if options.write_deploy:
        if not quantized.deploy:
            raise SlimError(f'{options.quantized}: no deploy prototxt in it (quantize --deploy puts one there)')
        write_bytes(options.write_deploy, quantized.deploy)
    data = net.SerializeToString()
    write_bytes(options.out, data)
    print(f'{options.out}: {len(data)} bytes, {len(net.layer)} layers with weights')


def run_sweep(options: argparse.Namespace) -> None:
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
    return _distance(options)[0], 'output distance (1 - cosine)', True


def _distance(options: argparse.Namespace) -> tuple[OutputMeasure, Sequence[str | Path]]:
    if not options.images:
        raise SlimError('expected --images, a folder or a list of pictures to compare outputs on')
    (feed,) = feeds(options, read_net(options.deploy))
    batches = list(feed())
    return OutputMeasure(options.deploy, options.weights, lambda: batches), feed.paths


def run_allocate(options: argparse.Namespace) -> None:
    """The qcaffemodel of least output distance within --budget, and its bits."""
    check_writable(options.out)
    net = read_caffemodel(options.weights)
    check_fits(net, options.deploy)
    measure, paths = _distance(options)
    distance = measure.distance
    subject = {
        'files': file_digest(options.weights, options.deploy, *paths),
        'scheme': options.scheme,
        'coding': options.coding,
        'pixels': [options.mean, options.scale, options.rgb, options.crop],
    }
    layers = quantizable_layers(net, options.scheme, options.layers)
    costs = measure_costs(
        net,
        distance,
        layers,
        parse_range(options.bits),
        options.scheme,
        options.coding,
        f'{options.out}.costs.json',
        subject,
        lambda todo: bar(todo, desc='layers x bits'),
    )
    limit = int(options.budget.of(os.path.getsize(options.weights), 'bytes'))
    quantized, bits = fit_budget(net, costs, limit, options.scheme, options.coding, options.vectors)
    size = write_quantized(quantized, options.out, options.coding)
    write_json(f'{options.out}.bits.json', bits)
    for name in layers:
        print(f'{bits[name]:3d} bits  {name}')
    load_weights(distance.net, quantized)
    print(
        f'{options.out}: {size} bytes of {limit}, output distance (1 - cosine) {distance():.6g} on {len(paths)} images'
    )
