"""Find the face in every picture below a folder, with five landmarks, by MTCNN.

Writes a landmark list, a line per picture: path, box (x1 y1 x2 y2), score, and ten numbers for left eye, right eye,
nose, left and right mouth corner, between tabs; coordinates are in pixels, 0-based. Of several faces the one nearest
the picture's centre is taken. A picture without a face, or that cannot be read, becomes a line `#<tab>path<tab>reason`.
The list grows as it goes; run it again to continue after an interruption.
"""

import argparse
import math
import os
import sys

from sphereslim.commands.arguments.values import whole
from sphereslim.commands.ending import continues
from sphereslim.facedata.alignment import detection
from sphereslim.facedata.alignment.mtcnn.convert import converted
from sphereslim.facedata.alignment.mtcnn.settings import Settings
from sphereslim.facedata.lists import folders
from sphereslim.files import cache_folder, check_writable
from sphereslim.progress import counted


@continues
def run(args: argparse.Namespace) -> None:
    check_writable(args.out)
    weights = args.mtcnn or converted(cache_folder('mtcnn'))
    settings = Settings(args.min_size, args.factor, tuple(args.thresholds))
    job = detection.Job(args.folder, str(weights), settings, args.gpu)
    tell_loose(args.folder)
    if args.workers > 1:
        detection.one_thread_each()
    found, missing = detection.detect_folder(job, args.out, args.batch, args.workers, counted('detecting', 'picture'))
    print(f'{args.out}: a face in {found} pictures, none in {len(missing)}')
    for picture, reason in list(missing.items())[:10]:
        print(f'  {picture}: {reason}')
    if len(missing) > 10:
        print('  ... (all of them are in the list)')


def tell_loose(folder: str) -> None:
    """Print a note where pictures lie in no person's folder."""
    pictures = folders.pictures(folder)
    loose = [picture for picture in pictures if '/' not in picture]
    if loose:
        print(
            f'note: {folder}: {len(loose)} of {len(pictures)} pictures lie in no folder of a person, the first being '
            f'{loose[0]}; training and pairs take them from {folder}/<person>/<picture> only',
            file=sys.stderr,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='folder of pictures, in any tree')
    parser.add_argument('--out', required=True, help='landmark list to write or continue')
    parser.add_argument(
        '--mtcnn',
        metavar='DIR',
        help='folder with det1, det2 and det3.caffemodel; without it, the '
        'weights in the Python package mtcnn 1.0.0 are converted once',
    )
    parser.add_argument('--min-size', type=size, default=20, help='smallest face in pixels, at least 12 (default 20)')
    parser.add_argument('--factor', type=share, default=0.85, help='step of the pyramid of sizes (default %(default)s)')
    parser.add_argument(
        '--thresholds',
        type=share,
        nargs=3,
        default=[0.6, 0.7, 0.9],
        metavar='T',
        help='least scores of the three stages (default 0.6 0.7 0.9)',
    )
    parser.add_argument('--batch', type=whole, default=16, help='pictures at a time (default %(default)s)')
    parser.add_argument('--workers', type=whole, default=os.cpu_count(), help='processes (default %(default)s)')
    parser.add_argument('--gpu', type=int, help='compute on this GPU instead of the CPU')


def share(text: str) -> float:
    """The type of --factor and --thresholds."""
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f'{text}, expected between 0 and 1')
    return float(text)


def size(text: str) -> float:
    """The type of --min-size."""
    if not 12 <= float(text) < math.inf:
        raise argparse.ArgumentTypeError(f'{text}, expected at least 12, the window of the first network')
    return float(text)
