"""Refit the layers that read pruned channels by least squares to what they gave in the original, without training.

Takes both deploy nets with their weights and the selection between them; writes a new caffemodel for the pruned net.
Without a selection every layer is refitted, as for a net whose neurons `substitute --module relu` replaced.
"""

import argparse

from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.pictures import add_pictures, feeds
from sphereslim.commands.arguments.values import not_negative, whole
from sphereslim.errors import SlimError
from sphereslim.files import check_writable, write_bytes
from sphereslim.progress import bar
from sphereslim.pruning.model import open_model, refit, refittable
from sphereslim.pruning.reconstruct import Fit, readers_of
from sphereslim.pruning.selection import read_selections


def run(args: argparse.Namespace) -> None:
    check_writable(args.out)
    whole_net, pruned = (
        open_model(*files, args.stage)
        for files in ((args.deploy, args.weights), (args.pruned_deploy, args.pruned_weights))
    )
    lacking = {layer.name for layer in whole_net.net.layer} - {layer.name for layer in pruned.net.layer}
    if lacking:
        raise SlimError(f"{args.pruned_deploy}: has no layer '{min(lacking)}', expected the layers of {args.deploy}")
    kept = read_selections(args.selection or [])
    layers = readers_of(whole_net.groups, kept) if kept else refittable(whole_net)
    for name, indices in kept.items():
        size = pruned.groups.of(name).size
        if size != len(indices):
            raise SlimError(
                f"{args.pruned_deploy}: layer '{name}' has {size} channels, the selection keeps "
                f'{len(indices)}: expected the net that was pruned by it'
            )
    feed = feeds(args, whole_net.net)[0]
    refitted = refit(
        whole_net,
        pruned,
        kept,
        feed,
        Fit(args.places, args.ridge),
        args.seed,
        lambda done: bar(done, desc='refitting', total=len(layers), unit='layer'),
        every=not kept,
    )
    write_bytes(args.out, refitted.weights.SerializeToString())
    print(f'{args.out}: {len(layers)} layers refitted on {len(feed.paths)} pictures')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', help="the original's deploy prototxt")
    parser.add_argument('weights', help="the original's caffemodel")
    parser.add_argument('pruned_deploy', help='the pruned deploy prototxt')
    parser.add_argument('pruned_weights', help='its caffemodel')
    parser.add_argument('--selection', nargs='+', help='the selection.json it was pruned by')
    parser.add_argument('--places', type=whole, default=40, help='outputs a picture to refit on (default 40)')
    parser.add_argument(
        '--ridge',
        type=not_negative,
        help='how much the old weights count (default: for each layer what serves best on half of the samples)',
    )
    parser.add_argument('--out', required=True, help='caffemodel to write')
    add_net_stages(parser)
    add_pictures(parser)
