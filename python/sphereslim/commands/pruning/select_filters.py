"""Choose the channels that stay: runs a network over sampled pictures and writes selection.json, which prune.py takes.

A train prototxt reads the pictures of its own data layer (--batches); a deploy prototxt those of --images; the
criteria l1, l2, fpgm and random need no pictures. Layers get one --rate, or every group the number that allocate.py
gave it (--allocation). Of a net in the stage folder of a run, criterion, rate, multiple, batches and seed are by
default those that the run was begun with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable

from sphereslim.channels.groups import Groups
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.pictures import add_pictures, source
from sphereslim.commands.arguments.run_settings import take_from_run
from sphereslim.commands.arguments.values import whole
from sphereslim.criteria import CRITERIA
from sphereslim.criteria import criterion as find_criterion
from sphereslim.criteria.criterion import Criterion
from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import check_writable, read_json, write_json
from sphereslim.net.heads import judged_layers
from sphereslim.net.opened import open_net
from sphereslim.net.phases import phase_of, reads_own_data, with_net_stages
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import read_weights
from sphereslim.net.weights_check import check_weights
from sphereslim.progress import bar
from sphereslim.pruning.selection import kept_count, select
from sphereslim.sampling.sampler import Sampler


def run(args: argparse.Namespace) -> None:
    check_writable(args.out)
    take_from_run(args, args.net)
    criterion = find_criterion(args.criterion)
    net, weights = with_net_stages(read_net(args.net), args.stage), read_weights(args.weights)
    groups = Groups(net)
    check_weights(weights, groups.trace.axes.values(), args.weights)
    wanted = shares(args, groups)
    tell_embedding(groups, net, wanted)
    sampler = make_sampler(args, criterion, net, weights)
    chosen = []
    for layer, rate in wanted.items():
        selection = select(
            groups, layer, args.criterion, sampler(layer), rate, args.seed, args.multiple, exact=bool(args.allocation)
        )
        chosen.append({'layer': layer, **selection.as_dict()})
        print(f'{layer}: {len(selection.kept)} of {len(selection.scores)} channels stay', flush=True)
    write_json(args.out, chosen[0] if len(chosen) == 1 else {'selections': chosen})
    print(args.out)


def shares(args: argparse.Namespace, groups: Groups) -> dict[str, float]:
    """{layer: share kept}, every layer and rate checked."""
    if args.allocation:
        counts = read_json(args.allocation)
        if not isinstance(counts, dict) or not all(isinstance(n, int) and n > 0 for n in counts.values()):
            raise SlimError(f'{args.allocation}: expected {{group: number of channels kept}}')
        return {
            name: checked(groups, name, n / groups.of(name).size)
            for name, n in counts.items()
            if n < groups.of(name).size
        }
    if not args.layers:
        raise SlimError('expected --layers with --rate, or --allocation')
    return {name: checked(groups, name, args.rate) for name in args.layers.split(',')}


def checked(groups: Groups, layer: str, rate: float) -> float:
    """The rate; SlimError where the layer cannot be pruned or no share is at this rate."""
    kept_count(groups.of(layer).size, rate)
    return rate


def tell_embedding(groups: Groups, net: caffe_pb2.NetParameter, layers: Iterable[str]) -> None:
    """Print a note for a layer that the classifier of a train net reads: its channels are the embedding."""
    heads = {head.name for head in judged_layers(net)}
    for layer in layers:
        found = heads.intersection(groups.of(layer).readers)
        if found:
            print(
                f"note: layer '{layer}' makes what the classifier '{min(found)}' reads: a deploy net that ends there "
                'gets a shorter embedding',
                file=sys.stderr,
            )


def make_sampler(
    args: argparse.Namespace, criterion: Criterion, net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter
) -> Callable[[str], Sampler]:
    """A function (layer) -> Sampler over the net's own data or over --images, over nothing where no picture counts."""
    feed, batches = source(args, net) if criterion.needs_pictures else ((), None)
    if args.images and not criterion.needs_pictures:
        print(f'note: the criterion {criterion.name} looks at no pictures, --images is not used', file=sys.stderr)
    caffe.set_random_seed(args.seed)
    phase = phase_of(net, caffe.TRAIN if reads_own_data(net) else caffe.TEST)
    opened = open_net(net, weights, phase, criterion.needs_gradients)
    return lambda layer: Sampler(
        opened, feed, batches, lambda batches: bar(batches, desc=layer, unit='batch', leave=False)
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('net', help='train or deploy prototxt')
    parser.add_argument('weights', help='its caffemodel')
    parser.add_argument('--layers', help='layers that lose channels, separated by commas')
    parser.add_argument('--rate', type=float, help='share of channels to keep (default 0.5)')
    parser.add_argument('--allocation', metavar='JSON', help='{group: channels kept} instead, as allocate.py writes it')
    parser.add_argument('--criterion', help=f'{", ".join(CRITERIA)} (default obs)')
    parser.add_argument('--multiple', type=whole, help='round kept channels up to a multiple, such as 8')
    parser.add_argument('--batches', type=whole, help='batches of the data layer to sample (default 4)')
    parser.add_argument('--out', default='selection.json', help='file to write (default selection.json)')
    add_net_stages(parser)
    add_pictures(parser, required=False)
    parser.set_defaults(seed=None)
