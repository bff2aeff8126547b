"""Bring the faces of a landmark list to 112x96, eyes, nose and mouth corners where SphereFace expects them.

Each face is turned, scaled and shifted (least squares over the five points) and written below --out under the picture's
own path. Run it again to continue after an interruption, or after the list has grown; faces that are there are kept.
"""

import argparse
import os

from sphereslim.commands.arguments.values import whole
from sphereslim.commands.ending import continues
from sphereslim.facedata.alignment.align_list import align_list
from sphereslim.files import check_folder
from sphereslim.progress import counted


@continues
def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    faces, bad = align_list(args.folder, args.list, args.out, args.workers, counted('aligning', 'picture'))
    print(f'{args.out}: {faces} aligned faces; {len(bad)} pictures without one')
    for picture, reason in list(bad.items())[:10]:
        print(f'  {picture}: {reason}')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='folder of pictures')
    parser.add_argument('--list', required=True, help='landmark list of detect.py, or with five points per picture')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument('--workers', type=whole, default=os.cpu_count(), help='threads (default %(default)s)')
