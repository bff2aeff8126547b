"""Train a network with binary weights: sign times the mean magnitude of the filter, full precision kept aside.

The solver's own tests, where it has any, use the full-precision weights; the lines "binary test" use the binary ones.

writes OUT.caffemodel (binary weights, any Caffe reads it) and OUT.qcaffemodel, besides the
solver's snapshots, which hold full precision. Ctrl-C takes a snapshot and stops; --snapshot goes on from one.

example:
  sphereslim binarize --solver solver.prototxt --weights net.caffemodel --out binary --keep conv1,fc5
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import check_writable, whole_file
from sphereslim.net.prototxt import read_solver
from sphereslim.progress import bar
from sphereslim.quantization import quantize_net, read_caffemodel, write_quantized
from sphereslim.quantization.binarize import Binarizer, binary_layers


def run(options: argparse.Namespace) -> None:
    if options.weights and options.snapshot:
        raise SlimError('--weights and --snapshot exclude each other')
    check_writable(*(f'{options.out}.{ending}' for ending in ('caffemodel', 'qcaffemodel')))
    settings = read_solver(options.solver)
    solver = caffe.get_solver(options.solver)
    layers = binary_layers(solver.net, options.layers, [name for name in options.keep.split(',') if name])
    if not layers:
        raise SlimError(f'{options.solver}: no layer left whose weights would become binary')
    if options.weights:
        read_caffemodel(options.weights)
        solver.net.copy_from(options.weights)
    elif options.snapshot:
        solver.restore(options.snapshot)
    binarizer = Binarizer(solver.net, layers)
    binarizer.attach(solver)
    if train(solver, settings, binarizer):
        save(solver.net, binarizer, layers, options.out)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--solver', required=True, help='a solver prototxt')
    parser.add_argument('--weights', help='a caffemodel to start from')
    parser.add_argument('--snapshot', help='a solverstate to go on from')
    parser.add_argument('--out', required=True, help='path of the results, without a suffix')
    parser.add_argument(
        '--layers',
        choices=['conv', 'all'],
        default='all',
        help='make the weights of convolutions binary, or of every layer (default)',
    )
    parser.add_argument('--keep', default='', help='layers that keep full precision, with commas between')


def train(solver: Any, settings: caffe_pb2.SolverParameter, binarizer: Binarizer) -> bool:
    """Runs to max_iter, testing with binary weights at the solver's test_interval; False when interrupted."""
    chunk = settings.test_interval or settings.display or 100
    try:
        with bar(total=settings.max_iter, initial=solver.iter, unit='iteration') as progress:
            while solver.iter < settings.max_iter:
                count = min(chunk - solver.iter % chunk, settings.max_iter - solver.iter)
                solver.step(count)
                progress.update(count)
                if settings.test_interval:
                    report_tests(solver, settings, binarizer, progress)
    except KeyboardInterrupt:
        binarizer.to_full()
        solver.snapshot()
        print(f'stopped at iteration {solver.iter}; go on with --snapshot and the solverstate just written')
        return False
    return True


def report_tests(solver: Any, settings: caffe_pb2.SolverParameter, binarizer: Binarizer, progress: Any) -> None:
    """One line per test net: the mean of its scalar outputs."""
    with binarizer.binary():
        for net, iterations in zip(solver.test_nets, settings.test_iter):
            net.share_with(solver.net)
            scores: dict[str, float] = {}
            for _ in range(iterations):
                for name, value in net.forward().items():
                    scores[name] = scores.get(name, 0) + float(value.mean()) / iterations
            text = ', '.join(f'{name} = {value:.6g}' for name, value in scores.items())
            progress.write(f'Iteration {solver.iter}, binary test: {text}')


def save(net: caffe.Net, binarizer: Binarizer, layers: Sequence[str], output: str) -> None:
    """OUT.caffemodel and OUT.qcaffemodel of the binary weights."""
    with binarizer.binary(), whole_file(f'{output}.caffemodel') as temporary:
        net.save(temporary)
        binary = read_caffemodel(temporary)
    quantized = quantize_net(binary, dict.fromkeys(layers, 1), 'binary')
    size = write_quantized(quantized, f'{output}.qcaffemodel')
    print(f'{output}.caffemodel, {output}.qcaffemodel: {size} bytes, {len(layers)} layers of binary weights')
