#!/usr/bin/env python3
"""Pictures per second through a deploy net, against the same network as a PyTorch module in the same run.

Both compute by turns, batch by batch, so that whatever else the machine does meets both alike. The ratio is the median
of the rounds' ratios; a picture is one pass, and its mirror image would be another.
"""

import time

import numpy as np
import torch
from benchmarks.torch_peer import Peer
from sphereslim.commands.arguments.parser import command_parser
from sphereslim.commands.ending import run_command
from sphereslim.data.preparation import InputForm
from sphereslim.errors import SlimError
from sphereslim.evaluation.features import features, open_deploy
from sphereslim.net.prototxt import read_net
from sphereslim.report.text_tables import text_table


def main():
    args = parse_arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    net = open_deploy(args.deploy, args.weights)
    peer = peer_of(args.deploy, net)
    shape = net.blobs[net.inputs[0]].data.shape[1:]
    print(f'{torch.get_num_threads()} threads, {args.rounds} rounds by turns, median; ms: milliseconds per picture')
    rows = [measure(net, peer, batch, shape, args.rounds) for batch in args.batch]
    print(
        text_table(
            [
                'batch',
                'caffe ms',
                'pictures/s',
                'torch ms',
                'pictures/s',
                'ratio',
                'CPU ms',
                'torch CPU ms',
                'difference',
            ],
            rows,
        )
    )


def peer_of(deploy, net):
    try:
        return Peer(read_net(deploy), net)
    except ValueError as error:
        raise SlimError(f'{deploy}: {error}') from None


def measure(net, peer, batch, shape, rounds):
    """One row of the table."""
    images = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)
    form = InputForm()
    ours, theirs = (lambda: features(net, images, form, mirror=False)), (lambda: by_torch(peer, images, form))
    difference = np.abs(ours() - theirs()).max()
    times = np.array([[*timed(ours), *timed(theirs)] for _ in range(rounds)]) / batch * 1e3
    wall, cpu, torch_wall, torch_cpu = np.median(times, axis=0)
    ratio = np.median(times[:, 2] / times[:, 0])
    return [
        batch,
        f'{wall:.2f}',
        f'{1e3 / wall:.0f}',
        f'{torch_wall:.2f}',
        f'{1e3 / torch_wall:.0f}',
        f'{ratio:.2f}',
        f'{cpu:.2f}',
        f'{torch_cpu:.2f}',
        f'{difference:.1e}',
    ]


def by_torch(peer, images, form):
    with torch.inference_mode():
        x = (torch.from_numpy(images).float() - form.mean) * form.scale
        return peer(x).flatten(1).numpy()


def timed(function):
    """(wall, CPU) seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def parse_arguments():
    parser = command_parser(__doc__)
    parser.add_argument('deploy', help='deploy prototxt')
    parser.add_argument('weights', help='caffemodel')
    parser.add_argument(
        '--batch', type=int, nargs='+', default=[1, 8, 32], help='batch sizes to measure (default 1 8 32)'
    )
    parser.add_argument('--rounds', type=int, default=7, help='rounds; the median counts (default 7)')
    parser.add_argument('--threads', type=int, help="threads to compute with (torch's choice by default)")
    args = parser.parse_args()
    if min([*args.batch, args.rounds, args.threads or 1]) < 1:
        parser.error('expected batch sizes, rounds and threads of at least 1')
    return args


if __name__ == '__main__':
    run_command(main)
