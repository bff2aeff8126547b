#!/usr/bin/env python3
"""Milliseconds per picture of exported nets: .onnx in onnxruntime, .param in ncnn, by turns in one run.

The first file of a reader is what its others are compared with, such as float with int8, or a whole net with a pruned
one. Inputs are random; a batch is one picture.

example:
  python tools/benchmark_files.py net.onnx int8.onnx net.param int8.param
"""

from pathlib import Path

import numpy as np
import torch
from benchmarks.measuring import machine, take_turns
from sphereslim.commands.arguments.parser import command_parser
from sphereslim.commands.arguments.values import positive, whole
from sphereslim.commands.ending import run_command
from sphereslim.errors import SlimError
from sphereslim.report.text_tables import text_table

INT8 = ('avx512_vnni', 'avx_vnni', 'amx_int8')  # what a processor has for products of int8


def onnxruntime_forward(path, threads):
    """A function that runs an ONNX file once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    shapes = {value.name: value.shape for value in session.get_inputs()}
    inputs = {name: _random([n if isinstance(n, int) else 1 for n in shape]) for name, shape in shapes.items()}
    return lambda: session.run(None, inputs)


def ncnn_forward(path, threads):
    """A function that runs a .param with the .bin beside it once."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix('.bin'))):
        raise SlimError(f'{path}: ncnn cannot read it and the .bin beside it')
    arrays = {name: _random(shape) for name, shape in _inputs(path).items()}
    inputs = {name: ncnn.Mat(array).clone() for name, array in arrays.items()}
    outputs = net.output_names()

    def forward():
        extractor = net.create_extractor()
        for name, values in inputs.items():
            extractor.input(name, values)
        for name in outputs:
            extractor.extract(name)

    return forward


def _inputs(path):
    """{input: (channels, height, width)} of a .param."""
    found = {}
    for line in path.read_text().splitlines():
        kind, *words = line.split() or ['']
        if kind == 'Input':
            sizes = dict(word.split('=') for word in words if '=' in word)
            found[words[3]] = [int(sizes[key]) for key in '210' if key in sizes]
    return found


def _random(shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


READERS = {'.onnx': onnxruntime_forward, '.param': ncnn_forward}


def run(args):
    unknown = [path for path in args.files if path.suffix not in READERS]
    if unknown:
        raise SlimError(f'{unknown[0]}: expected a file that ends in {" or ".join(READERS)}')
    forwards = {path: READERS[path.suffix](path, args.threads) for path in args.files}
    times, _ = take_turns(forwards, args.seconds)
    first, rows = {}, []
    for path, milliseconds in times.items():
        faster = first.setdefault(path.suffix, milliseconds) / milliseconds
        rows.append([path, f'{milliseconds:.2f}', f'{faster:.2f}'])
    told = machine(args.threads, torch.device('cpu'))
    print(f'{told["cpu"]}, {args.threads} threads, load {told["load"]:.1f}; products of int8: {_int8_products()}')
    print(text_table(('file', 'ms', 'times as fast as the first'), rows))


def _int8_products():
    flags = Path('/proc/cpuinfo').read_text() if Path('/proc/cpuinfo').exists() else ''
    return ', '.join(name for name in INT8 if f' {name}' in flags) or 'none'


def main():
    parser = command_parser(__doc__, 'benchmark_files.py')
    parser.add_argument('files', nargs='+', type=Path, metavar='FILE', help='.onnx and .param files')
    parser.add_argument('--seconds', type=positive, default=5, help='to measure for (default 5)')
    parser.add_argument('--threads', type=whole, default=1, help='of a reader (default 1)')
    run(parser.parse_args())


if __name__ == '__main__':
    run_command(main)
