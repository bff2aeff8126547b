"""qcaffemodel -> caffemodel."""

from __future__ import annotations

import argparse

from sphereslim.commands.quantization.options import Subparsers
from sphereslim.errors import SlimError
from sphereslim.files import check_writable, write_bytes
from sphereslim.net.weights_check import check_fits
from sphereslim.quantization import dequantize, read_quantized


def add(commands: Subparsers) -> None:
    command = commands.add_parser('dequantize', help='qcaffemodel -> caffemodel that any Caffe reads')
    command.add_argument('quantized', help='a qcaffemodel')
    command.add_argument('--out', required=True, help='caffemodel to write')
    command.add_argument('--deploy', help='a prototxt to check the weights against')
    command.add_argument('--write-deploy', metavar='FILE', help='also write the deploy prototxt kept in the file')
    command.set_defaults(action=run)


def run(options: argparse.Namespace) -> None:
    """Write the caffemodel, and the prototxt on request."""
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
