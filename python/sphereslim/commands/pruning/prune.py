"""Cut the channels that selection.json drops out of train and deploy prototxt and their common weights.

Writes train.prototxt, deploy.prototxt (those given) and init.caffemodel into a new folder, and with --solver a
solver.prototxt that trains on from there: finetune.py takes the folder. A solver of a run's stage trains as that run
fine-tunes its pruned layers, any other as it says itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.run_settings import run_of
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import check_folder, read_json, write_bytes, write_json
from sphereslim.net.heads import count_parameters
from sphereslim.net.phases import with_net_stages
from sphereslim.net.prototxt import read_net, read_solver, with_batch, write_prototxt
from sphereslim.net.weights import read_weights
from sphereslim.pruning.selection import read_selections
from sphereslim.training.schedule import Schedule, has_test_nets, net_for, solver_for, trained_on
from sphereslim.training.stage import Stage


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    if args.solver and not args.train:
        raise SlimError('--solver needs --train, the net that it trains')
    stage = Stage(args.out)
    if stage.is_emitted() or stage.init.exists():
        raise SlimError(f'{args.out}: holds a network already, expected a new folder')
    nets = {name: read_net(path) for name, path in (('train', args.train), ('deploy', args.deploy)) if path}
    if not nets:
        raise SlimError('expected --train, --deploy or both')
    weights = read_weights(args.weights)
    kept = read_selections(args.selection)
    solver = read_solver(args.solver) if args.solver else None
    groups = Groups(*(with_net_stages(net, args.stage) for net in nets.values()))
    pruned, slim = prune(list(nets.values()), weights, kept, groups)
    stage.folder.mkdir(parents=True, exist_ok=True)
    write_bytes(stage.init, slim.SerializeToString())
    for name, net in zip(nets, pruned):
        write_prototxt(getattr(stage, name), net)
    write_json(stage.selection, {'selections': [{'layer': name, 'kept': indices} for name, indices in kept.items()]})
    if solver:
        write_training(args, stage, solver, kept)
    sizes = [count_parameters(net, held) for net, held in ((list(nets.values())[-1], weights), (pruned[-1], slim))]
    print(
        f'{args.out}: {sizes[0]:,} parameters became {sizes[1]:,} ({sizes[1] / sizes[0]:.1%}), without classifier and '
        'statistics of norms'
    )


def write_training(
    args: argparse.Namespace, stage: Stage, solver: caffe_pb2.SolverParameter, kept: Mapping[str, Any]
) -> None:
    """Write the stage's solver, batch size and lambda into its train net: as the run of --solver fine-tunes."""
    run = run_of(args.solver)
    made, source = trained_on(solver, stage.train, stage.prefix), args.solver
    if run:
        schedule, seed = fine_tuning(run, kept)
        for name in ('iter_size', 'average_loss'):  # those of the stage that the solver is of
            made.ClearField(name)
        made, source = solver_for(made, schedule, stage.train, stage.prefix, seed), f'fine_tune of {run}'
        write_prototxt(stage.train, net_for(with_batch(read_net(stage.train), schedule.batch), schedule))
    if has_test_nets(solver):
        print(f'{args.solver}: its test nets are not pruned along, they are left out')
    write_prototxt(stage.solver, made)
    print(f'{stage.solver}: {made.max_iter} iterations from a rate of {made.base_lr:g} on, after {source}')


def fine_tuning(run: Path, kept: Mapping[str, Any]) -> tuple[Schedule, int]:
    """(Schedule, seed) by which a run, its run.json, fine-tunes after the layers of {layer: indices} are pruned."""
    values = read_json(run)
    own = [(values.get('own') or {}).get(layer) for layer in kept]
    return Schedule.from_dict(own[0] or values['fine_tune'], f'{run}: fine_tune'), values['seed']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('selection', nargs='+', type=Path, help='selection.json, one or several')
    parser.add_argument('--train', help='train prototxt')
    parser.add_argument('--deploy', help='deploy prototxt')
    parser.add_argument('--weights', required=True, help='caffemodel of both')
    parser.add_argument('--solver', help='solver prototxt to go on training with')
    parser.add_argument('--out', required=True, help='new folder')
    add_net_stages(parser)
