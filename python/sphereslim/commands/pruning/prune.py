"""Cut the channels that selection.json drops out of train and deploy prototxt and their common weights.

Writes train.prototxt, deploy.prototxt (those given) and init.caffemodel into a new folder, and with --solver a
solver.prototxt that trains on from there: finetune.py takes the folder.
"""

import argparse
from pathlib import Path

from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune
from sphereslim.commands.arguments.stages import add_stages
from sphereslim.errors import SlimError
from sphereslim.files import write_bytes, write_json
from sphereslim.net.phases import with_stages
from sphereslim.net.prototxt import read_net, read_solver, write_prototxt
from sphereslim.net.weights import count_values, read_weights
from sphereslim.pruning.selection import read_selections
from sphereslim.training.schedule import has_test_nets, trained_on
from sphereslim.training.stage import Stage


def run(args: argparse.Namespace) -> None:
    if args.solver and not args.train:
        raise SlimError('--solver needs --train, the net that it trains')
    nets = {name: read_net(path) for name, path in (('train', args.train), ('deploy', args.deploy)) if path}
    if not nets:
        raise SlimError('expected --train, --deploy or both')
    weights = read_weights(args.weights)
    kept = read_selections(args.selection)
    solver = read_solver(args.solver) if args.solver else None
    groups = Groups(*(with_stages(net, args.stage) for net in nets.values()))
    pruned, slim = prune(list(nets.values()), weights, kept, groups)
    stage = Stage(args.out)
    if stage.is_emitted() or stage.init.exists():
        raise SlimError(f'{args.out}: holds a network already, expected a new folder')
    stage.folder.mkdir(parents=True, exist_ok=True)
    write_bytes(stage.init, slim.SerializeToString())
    for name, net in zip(nets, pruned):
        write_prototxt(getattr(stage, name), net)
    write_json(stage.selection, {'selections': [{'layer': name, 'kept': indices} for name, indices in kept.items()]})
    if solver:
        write_prototxt(stage.solver, trained_on(solver, stage.train, stage.prefix))
        if has_test_nets(solver):
            print(f'{args.solver}: its test nets are not pruned along, they are left out')
    sizes = [count_values(held) for held in (weights, slim)]
    print(f'{args.out}: {sizes[0]:,} parameters became {sizes[1]:,} ({sizes[1] / sizes[0]:.1%})')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('selection', nargs='+', type=Path, help='selection.json, one or several')
    parser.add_argument('--train', help='train prototxt')
    parser.add_argument('--deploy', help='deploy prototxt')
    parser.add_argument('--weights', required=True, help='caffemodel of both')
    parser.add_argument('--solver', help='solver prototxt to go on training with')
    parser.add_argument('--out', required=True, help='new folder')
    add_stages(parser)
