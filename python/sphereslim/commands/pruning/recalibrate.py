"""Measure the running statistics of every BatchNorm again on sampled pictures, without training.

A train prototxt reads the pictures of its own data layer (--batches), a deploy prototxt those of --images.
"""

import argparse

from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import check_weights
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.pictures import add_pictures, source
from sphereslim.commands.arguments.values import whole
from sphereslim.files import check_writable, write_bytes
from sphereslim.net.phases import with_net_stages
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import read_weights
from sphereslim.progress import bar
from sphereslim.pruning.recalibrate import recalibrate


def run(args: argparse.Namespace) -> None:
    check_writable(args.out)
    net, weights = with_net_stages(read_net(args.net), args.stage), read_weights(args.weights)
    check_weights(weights, Groups(net).trace.axes.values(), args.weights)
    feed, batches = source(args, net)
    result = recalibrate(net, weights, feed, batches, lambda batches: bar(batches, desc='measuring', unit='batch'))
    write_bytes(args.out, result.SerializeToString())
    print(args.out)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('net', help='train or deploy prototxt')
    parser.add_argument('weights', help='its caffemodel')
    parser.add_argument('--batches', type=whole, default=10, help='batches of the data layer (default 10)')
    parser.add_argument('--out', required=True, help='caffemodel to write')
    add_net_stages(parser)
    add_pictures(parser, required=False)
