#!/usr/bin/env python3
"""Measure the running statistics of every BatchNorm again on sampled pictures, without training.

A train prototxt reads the pictures of its own data layer (--batches), a deploy prototxt those of --images.
"""

import argparse

from arguments.pictures import add_pictures, feeds
from arguments.values import whole
from sphereslim.bn_recalibrate import recalibrate
from sphereslim.command import run_command
from sphereslim.errors import SlimError
from sphereslim.files import check_writable, write_bytes
from sphereslim.groups import Groups
from sphereslim.prototxt import read_net
from sphereslim.surgery import check_weights
from sphereslim.weights import read_weights
from tqdm import tqdm


def main():
    args = arguments()
    check_writable(args.out)
    net, weights = read_net(args.net), read_weights(args.weights)
    check_weights(Groups(net), weights, args.weights)
    own = not any(layer.type == 'Input' for layer in net.layer)
    if not own and not args.images:
        raise SlimError(f'{args.net}: reads no data of its own, expected --images')
    feed = None if own else feeds(args, net)[0]
    result = recalibrate(net, weights, feed, args.batches if own else None,
                         lambda batches: tqdm(batches, desc='measuring', unit='batch'))
    write_bytes(args.out, result.SerializeToString())
    print(args.out)


def arguments():
    start, end = __doc__.split('\n\n', 1)
    parser = argparse.ArgumentParser(description=start, epilog=end)
    parser.add_argument('net', help='train or deploy prototxt')
    parser.add_argument('weights', help='its caffemodel')
    parser.add_argument('--batches', type=whole, default=10, help='batches of the data layer (default 10)')
    parser.add_argument('--out', required=True, help='caffemodel to write')
    add_pictures(parser, count=256, required=False)
    return parser.parse_args()


if __name__ == '__main__':
    run_command(main)
