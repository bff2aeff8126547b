"""Prepare aligned faces of real people for training and verification.

FACES is a folder with a folder per person of pictures 112 high and at least 96 wide. The folder --out gets
aligned/ (112x96 pictures), train.txt (people who are in no pair, labels from 0), pairs.txt, and left_out.txt (broken
pictures). Run it again to continue after an interruption; what is there already is kept.
"""

import argparse

from sphereslim.commands.ending import continues
from sphereslim.facedata.alignment.crop import ANCHORS
from sphereslim.facedata.lists import prepare
from sphereslim.files import check_folder
from sphereslim.progress import counted


@continues
def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    people, pictures, bad = prepare.prepare(
        args.faces, args.pairs, args.out, args.min_pictures, args.crop, counted('cropping', 'person')
    )
    print(f'{args.out}: {pictures} pictures of {people} people to train on')
    if bad:
        print(f'{len(bad)} pictures left out, see {args.out}/left_out.txt; the first: {bad[0]}')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('faces', metavar='FACES', help='folder of person folders with aligned pictures')
    parser.add_argument('--pairs', required=True, help="pairs to verify on, in LFW's form; nobody in it is trained on")
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument(
        '--min-pictures', type=int, default=4, help='least number of pictures of a person to train on (default 4)'
    )
    parser.add_argument(
        '--crop', choices=ANCHORS, default='centre', help='which 96 columns of wider pictures to keep (default centre)'
    )
