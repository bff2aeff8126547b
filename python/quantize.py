#!/usr/bin/env python
"""Quantize a caffemodel into a .qcaffemodel, and back."""

import argparse
import json
import os

from sphereslim.command import run_command
from sphereslim.errors import SlimError
from sphereslim.quantize import (
    dequantize,
    quantize_net,
    read_net,
    read_quantized,
    write_bytes,
    write_quantized,
)
from sphereslim.quantize.choose import parse_bits
from sphereslim.quantize.fit import check_fits
from sphereslim.quantize.report import inspect_text

EXAMPLES = """examples:
  python python/quantize.py quantize net.caffemodel net.qcaffemodel --bits 6 --deploy deploy.prototxt
  python python/quantize.py inspect net.qcaffemodel
  python python/quantize.py dequantize net.qcaffemodel small.caffemodel --write-deploy small.prototxt
"""


def main(arguments=None):
    options = _parser().parse_args(arguments)
    options.run(options)


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    _add_quantize(commands)
    _add_dequantize(commands)
    _add_inspect(commands)
    return parser


def _add_quantize(commands):
    command = commands.add_parser('quantize', help='caffemodel -> qcaffemodel')
    command.add_argument('weights', help='a caffemodel')
    command.add_argument('output', help='the qcaffemodel to write')
    command.add_argument('--bits', help='1 to 16; or conv1=8,conv2=6,*=5 (* all others, 32 keeps a layer '
                         'as it is, without * layers not named stay as they are); or a JSON file of names and bits '
                         '(default 6, or 1 for the binary scheme)')
    add_scheme(command)
    command.add_argument('--vectors', type=int, metavar='BITS', help='also quantize biases, slopes and norm '
                         'statistics of the chosen layers (they stay float32 otherwise)')
    command.add_argument('--coding', choices=['none', 'zlib', 'lzma'], default='none',
                         help='entropy coding of the indices (default none)')
    command.add_argument('--deploy', help='deploy prototxt: weights are checked against it, the file keeps it')
    command.set_defaults(run=run_quantize)


def add_scheme(command):
    command.add_argument('--scheme', choices=['log', 'log+sign', 'linear', 'binary'], default='log',
                         help='log min-max with the sign as one of the bits (log, default) or beside them (log+sign: '
                         'one bit more per weight); linear min-max; binary: sign times mean magnitude per filter')
    command.add_argument('--scope', choices=['layer', 'network'], default='layer',
                         help='one range and dictionary per blob (default), or for the whole network')
    command.add_argument('--layers', choices=['conv', 'all'], default='all',
                         help='quantize convolutions only, or every layer (default)')


def _add_dequantize(commands):
    command = commands.add_parser('dequantize', help='qcaffemodel -> caffemodel that any Caffe reads')
    command.add_argument('quantized', help='a qcaffemodel')
    command.add_argument('output', help='the caffemodel to write')
    command.add_argument('--deploy', help='a prototxt to check the weights against')
    command.add_argument('--write-deploy', metavar='FILE', help='also write the deploy prototxt kept in the file')
    command.set_defaults(run=run_dequantize)


def _add_inspect(commands):
    command = commands.add_parser('inspect', help='what is in a qcaffemodel, blob by blob, and what it takes')
    command.add_argument('quantized', help='a qcaffemodel')
    command.set_defaults(run=lambda options: print(inspect_text(options.quantized)))


def run_quantize(options):
    net = read_net(options.weights)
    bits = _read_bits(options.bits or ('1' if options.scheme == 'binary' else '6'))
    quantized = quantize_net(net, bits, options.scheme, options.scope, options.layers, options.vectors)
    if options.deploy:
        check_fits(net, options.deploy)
        with open(options.deploy, encoding='utf-8') as file:
            quantized.deploy = file.read()
    size = write_quantized(quantized, options.output, options.coding)
    before = os.path.getsize(options.weights)
    print(f'{options.output}: {size} bytes, {before / size:.2f} times smaller than {options.weights} ({before} bytes)')


def _read_bits(text):
    if not text.endswith('.json'):
        return parse_bits(text)
    try:
        with open(text, encoding='utf-8') as file:
            return json.load(file)
    except json.JSONDecodeError as error:
        raise SlimError(f'{text}: not JSON ({error})') from None


def run_dequantize(options):
    quantized = read_quantized(options.quantized)
    net = dequantize(quantized)
    if options.deploy:
        check_fits(net, options.deploy)
    if options.write_deploy:
        if not quantized.deploy:
            raise SlimError(f'{options.quantized}: no deploy prototxt in it (quantize --deploy puts one there)')
        write_bytes(options.write_deploy, quantized.deploy.encode())
    data = net.SerializeToString()
    write_bytes(options.output, data)
    print(f'{options.output}: {len(data)} bytes, {len(net.layer)} layers with weights')


if __name__ == '__main__':
    run_command(main)
