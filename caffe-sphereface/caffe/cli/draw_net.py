"""draw_net: a picture of a network."""

import argparse
import sys
from collections.abc import Sequence

import caffe
from caffe import draw
from caffe.cli.flags import Flag, Spec, run
from caffe.errors import CaffeError
from caffe.proto.files import read_net

_PHASES = {'ALL': None, 'TRAIN': caffe.TRAIN, 'TEST': caffe.TEST}
_SPEC = Spec(
    'draw_net',
    'Draw a network as a graph; the ending of the picture says its format.',
    (
        Flag('rankdir', 'LR', 'direction of the graph: LR, TB, RL or BT'),
        Flag('phase', 'ALL', 'which layers to draw: ALL, TRAIN or TEST'),
        Flag('display_lrm', False, 'write the learning rate multipliers into the layers'),
    ),
    (('NET', 'the net prototxt'), ('PICTURE', 'the picture to write: .png, .svg, .dot, …')),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    return run(_SPEC, _draw, argv)


def _draw(flags: argparse.Namespace, positionals: list[str]) -> None:
    source, target = positionals
    if flags.phase not in _PHASES:
        raise CaffeError(f"--phase '{flags.phase}': expected ALL, TRAIN or TEST")
    draw.draw_net_to_file(read_net(source), target, flags.rankdir, _PHASES[flags.phase], flags.display_lrm)
    print(f'Drew {source} to {target}')


if __name__ == '__main__':
    sys.exit(main())
