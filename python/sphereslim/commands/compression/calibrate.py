"""Calibrate a net for readers in int8: ranges of blobs and filters, measured on pictures.

Writes into the output folder the net, folded and prepared, with its weights (any Caffe reads them), calibration.json
(its form is described in sphereslim.int8.calibration) and simulated.prototxt, the net in layers that compute what a
reader in int8 computes: measure it through pycaffe, fine-tune it by `caffe train`, export it to ONNX in int8.
Layers whose loss takes the outputs over --floor stay in float32. A run that was stopped goes on where it was.

examples:
  sphereslim calibrate deploy.prototxt net.caffemodel --images faces/ --out int8/
  caffe export -onnx int8.onnx -model int8/simulated.prototxt -weights int8/net.caffemodel
  sphereslim calibrate deploy.prototxt net.caffemodel --images faces/ --reader ncnn --method kl --out int8/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sphereslim.commands.arguments.compared import ENDS, tell_softmax
from sphereslim.commands.arguments.pictures import add_pictures, feeds, form_of
from sphereslim.commands.arguments.values import names, not_negative, whole
from sphereslim.data.feed import Feed
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import ResultsFile, check_folder, file_digest
from sphereslim.int8.calibrate import Choice, Prepared, choose, prepare
from sphereslim.int8.calibration import READERS, Calibration, write_calibration
from sphereslim.int8.points import int8_layers
from sphereslim.int8.ranges import METHODS
from sphereslim.int8.simulate import simulated
from sphereslim.net.engine_check import check_engine
from sphereslim.net.prototxt import read_net, write_prototxt
from sphereslim.net.weights import read_caffemodel, write_weights
from sphereslim.net.weights_check import check_same_net
from sphereslim.progress import bar

SIMULATED, FILE, COSTS = 'simulated.prototxt', 'calibration.json', 'costs.json'


def run(options: argparse.Namespace) -> None:
    check_folder(options.out)
    net, weights = _read(options)
    check_engine([simulated(net, {}, int8_layers(net), options.reader)])
    tell_softmax(net, ENDS)
    feed, test = feeds(options, net, options.test_count)
    prepared = prepare(
        net,
        weights,
        feed,
        options.reader,
        options.method,
        options.equalize,
        options.correct_biases,
        lambda batches: bar(batches, desc='measuring', unit='batch', leave=False),
    )
    kept = ResultsFile(Path(options.out) / COSTS, _subject(options, feed, test))
    choice = choose(
        prepared,
        test,
        options.floor,
        kept,
        options.float,
        lambda layers: bar(layers, desc='costs of layers', unit='layer'),
    )
    save(prepared, choice, options, len(feed.paths))
    tell(choice, prepared, options)


def save(prepared: Prepared, choice: Choice, options: argparse.Namespace, pictures: int) -> None:
    """Write the four files."""
    out = Path(options.out)
    net, weights = out / Path(options.net).name, out / Path(options.weights).name
    write_prototxt(net, prepared.net)
    write_weights(weights, prepared.weights)
    write_prototxt(out / SIMULATED, prepared.simulated(choice.layers, options.learn_ranges))
    write_calibration(
        out / FILE,
        Calibration(
            net.name,
            weights.name,
            file_digest(net, weights),
            options.reader,
            options.method,
            pictures,
            prepared.blobs(choice.layers),
            prepared.int8_layers(choice.layers),
            choice.float_layers,
        ),
    )


def tell(choice: Choice, prepared: Prepared, options: argparse.Namespace) -> None:
    """Print what was lost, and what stays in float32."""
    out = Path(options.out)
    for name, cost in choice.float_layers.items():
        print(f"float32: layer '{name}'" + ('' if cost is None else f', costs {cost:.2g} by itself'))
    print(
        f'{out / FILE}, {out / SIMULATED}: {len(choice.layers)} layers and {len(prepared.blobs(choice.layers))} blobs '
        f'in int8; outputs lose {choice.loss:.2g} (1 − cosine)'
    )


def _read(options: argparse.Namespace) -> tuple[caffe_pb2.NetParameter, caffe_pb2.NetParameter]:
    """Net and weights; SlimError where they do not belong together, and for wrong names."""
    net, weights = read_net(options.net), read_caffemodel(options.weights)
    check_same_net(weights, [layer.name for layer in net.layer], options.net, options.weights)
    for name in options.float:
        if name not in int8_layers(net):
            known = ', '.join(int8_layers(net))
            raise SlimError(f"{options.net}: --float '{name}' cannot multiply in int8, expected some of: {known}")
    if Path(options.out).resolve() in {Path(path).resolve().parent for path in (options.net, options.weights)}:
        raise SlimError(f'{options.out}: holds an input, expected another output folder')
    return net, weights


def _subject(options: argparse.Namespace, feed: Feed, test: Feed) -> dict[str, object]:
    """What the costs of layers depend on."""
    return {
        'net': file_digest(options.net, options.weights),
        'pictures': [len(feed.paths), len(test.paths), file_digest(*feed.paths, *test.paths)],
        'form': str(form_of(options)),
        **{name: getattr(options, name) for name in ('reader', 'method', 'equalize', 'correct_biases')},
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('net', metavar='PROTOTXT', help='deploy prototxt')
    parser.add_argument('weights', metavar='CAFFEMODEL', help='its weights')
    parser.add_argument('--out', required=True, metavar='FOLDER', help='where the files go')
    parser.add_argument(
        '--reader',
        choices=READERS,
        default=READERS[0],
        help='what rounds how: onnxruntime (default) the blobs between layers, from low to high; ncnn what int8 '
        'layers read, alike on both sides of 0',
    )
    parser.add_argument(
        '--method', choices=METHODS, default='percentile', help='how far the steps of a blob reach (default percentile)'
    )
    parser.add_argument(
        '--equalize',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='scale channels so that all reach equally far (default)',
    )
    parser.add_argument(
        '--correct-biases',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='add to biases what rounding the filters takes from mean outputs (default)',
    )
    parser.add_argument(
        '--floor',
        type=not_negative,
        default=0.02,
        help='outputs may lose so much, as 1 − cosine, before layers stay in float32 (default 0.02)',
    )
    parser.add_argument('--float', type=names, default=[], metavar='A,B', help='layers that stay in float32')
    parser.add_argument(
        '--learn-ranges', action='store_true', help='let the ranges of blobs learn where simulated.prototxt is trained'
    )
    parser.add_argument(
        '--test-count', type=whole, default=96, help='further pictures to measure losses on (default 96)'
    )
    add_pictures(parser)
