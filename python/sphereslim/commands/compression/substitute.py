"""Rewrite networks into other modules: fire, depthwise+pointwise (dwpw) or flame in place of convolutions.

Train and deploy prototxts of any net are rewritten alike into the output folder, under their own file names. --shrink
acts first, then --shallow, then --module. BatchNorm, Scale and ReLU follow every new convolution.

For readers and chips without them: relu and leaky (ReLU with the mean slope) replace PReLU, dense replaces grouped and
depthwise convolutions, undilated dilated ones; the last two change no output. --weights is rewritten with the nets.

examples:
  sphereslim substitute prototxt/vgg11bn/train.prototxt prototxt/vgg11bn/deploy.prototxt \\
      --module flame --out flame/
  sphereslim substitute train.prototxt deploy.prototxt --module leaky --weights net.caffemodel --out leaky/
  sphereslim substitute deploy.prototxt --module fire --layers conv4,conv5 --shallow conv3 --out small/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sphereslim.commands.arguments.values import names, positive, shape
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import check_folder
from sphereslim.net.costs import measure, open_with_inputs, total
from sphereslim.net.inputs import input_shape
from sphereslim.net.prototxt import read_net, write_prototxt
from sphereslim.net.roles import NETWORK
from sphereslim.net.weights import read_caffemodel, write_weights
from sphereslim.net.weights_check import check_same_net
from sphereslim.report.text_tables import text_table
from sphereslim.rewrite import shrink
from sphereslim.rewrite.modules import MODULES
from sphereslim.rewrite.plain import FORMS, plain, plain_weights
from sphereslim.rewrite.replace import substitute
from sphereslim.rewrite.shallow import drop_layers


def run(options: argparse.Namespace) -> None:
    if not (options.module or options.shrink or options.shallow):
        raise SlimError('nothing to do: expected --module, --shrink or --shallow')
    check_folder(options.out)
    nets = {path: read_net(path) for path in options.nets}
    known = [input_shape(net) for net in nets.values()]
    options.shape = options.shape or next((shape for shape in known if shape), None)
    weights = _weights(nets, options)
    rewritten = {path: rewrite(net, options, weights) for path, net in nets.items()}
    output = Path(options.out)
    output.mkdir(parents=True, exist_ok=True)
    if weights:
        after = plain_weights(nets[options.nets[-1]], weights, options.module, options.layers)
        write_weights(_target(output, options.weights), after)
    rows = []
    for path, after in rewritten.items():
        target = _target(output, path)
        write_prototxt(target, after)
        rows.append([target, *_costs(nets[path], options.shape), *_costs(after, options.shape)])
    columns = ('network', 'parameters before', 'MACs before', 'parameters', 'MACs')
    print(text_table(columns, rows))
    print('parameters and MACs without classifier and statistics of norms')


def _target(output: Path, path: str) -> Path:
    """Where what becomes of an input goes."""
    target = output / Path(path).name
    if target.exists() and target.samefile(path):
        raise SlimError(f'{target}: is an input, expected another output folder')
    return target


def _weights(nets: dict[str, caffe_pb2.NetParameter], options: argparse.Namespace) -> caffe_pb2.NetParameter | None:
    """The weights of the last net, where they can be rewritten with it."""
    if not options.weights:
        return None
    if options.module not in FORMS or options.shrink or options.shallow:
        raise SlimError(f'--weights goes with --module {", ".join(FORMS)} alone: other rewritten nets are trained')
    weights, path = read_caffemodel(options.weights), options.nets[-1]
    check_same_net(weights, [layer.name for layer in nets[path].layer], path, options.weights)
    return weights


def rewrite(
    net: caffe_pb2.NetParameter, options: argparse.Namespace, weights: caffe_pb2.NetParameter | None = None
) -> caffe_pb2.NetParameter:
    """The net after all that was asked for."""
    net = drop_layers(shrink(net) if options.shrink else net, options.shallow)
    if options.module in FORMS:
        net = plain(net, options.module, options.layers, weights)
    elif options.module:
        return substitute(net, options.module, options.layers, options.s_ratio, options.shape)
    open_with_inputs(net, options.shape)
    return net


def _costs(net: caffe_pb2.NetParameter, shape: tuple[int, ...] | None) -> tuple[str, str]:
    sums = total(measure(net, shape), NETWORK)
    return f'{sums.parameters:,}', f'{sums.macs:,}'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('nets', nargs='+', metavar='PROTOTXT', help='train and deploy prototxts of one net')
    parser.add_argument('--out', required=True, metavar='FOLDER', help='where the rewritten files go')
    parser.add_argument(
        '--weights', metavar='CAFFEMODEL', help=f'weights of the last prototxt, rewritten for {", ".join(FORMS)}'
    )
    parser.add_argument('--module', choices=[*MODULES, *FORMS], help='what takes the place of layers')
    parser.add_argument(
        '--layers',
        type=names,
        metavar='A,B',
        help='layers to replace (default: all; of convolutions the 3x3 ones that do not read the picture)',
    )
    parser.add_argument(
        '--s-ratio', type=positive, default=0.125, help='squeezed channels per output channel (default 0.125)'
    )
    parser.add_argument('--shrink', action='store_true', help='halve the filters, except in the last two convolutions')
    parser.add_argument(
        '--shallow', type=names, default=[], metavar='A,B', help='convolutions to drop with their norm and neuron'
    )
    parser.add_argument('--shape', type=shape, metavar='N,C,H,W', help='size of the input where no prototxt says it')
