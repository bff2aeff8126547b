"""Train a stage folder (train.prototxt, solver.prototxt, init.caffemodel) to its end; continues from its snapshots.

The end is final.caffemodel in the same folder, the log train.log. It is what `caffe train` does with these files, with
a progress bar, one line of advice when the loss explodes, and an interruption that loses nothing. When it is killed, it
loses five minutes at most.
"""

import argparse

from sphereslim.errors import SlimError
from sphereslim.files import only_one
from sphereslim.training.stage import Stage, train_with_bar


def run(args: argparse.Namespace) -> None:
    stage = Stage(args.stage)
    if not stage.is_emitted():
        raise SlimError(f'{args.stage}: has no solver.prototxt, expected a stage folder as prune.py --solver writes it')
    with only_one(stage.folder):
        train_with_bar(stage, stage.name, args.gpu)
    print(stage.final)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('stage', help='the folder')
    parser.add_argument('--gpu', help='GPU number, several with commas, or all')
