"""Quantize a caffemodel into a .qcaffemodel, and back; sweep bits; spread bits over layers under a size budget.

examples:
  sphereslim quantize quantize net.caffemodel --bits 6 --deploy deploy.prototxt --out net.qcaffemodel
  sphereslim fold deploy.prototxt net.caffemodel --out folded/     # norms become part of the weights: fewer numbers
  sphereslim quantize inspect net.qcaffemodel
  sphereslim quantize dequantize net.qcaffemodel --write-deploy small.prototxt --out small.caffemodel
  sphereslim quantize sweep net.caffemodel --deploy deploy.prototxt --images faces/ --bits 4-12 --out sweep/
  sphereslim quantize sweep net.caffemodel --deploy deploy.prototxt --pairs pairs.txt --pictures lfw/ --out sweep/
  sphereslim quantize allocate net.caffemodel --deploy deploy.prototxt --images faces/ --budget 1000000 \\
      --coding lzma --vectors half --rounding second-order --out net.qcaffemodel
"""

import argparse

from sphereslim.commands.quantization import allocate, dequantize, inspect, quantize, sweep


def run(options: argparse.Namespace) -> None:
    options.action(options)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for command in (quantize, dequantize, inspect, sweep, allocate):
        command.add(commands)
