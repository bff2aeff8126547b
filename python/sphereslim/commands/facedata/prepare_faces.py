"""Prepare aligned faces of real people for training and verification.

FACES is a folder with a folder per person of pictures 112 high and at least 96 wide. The folder --out gets
aligned/ (112x96 pictures), train.txt (people who are in no pair, labels from 0), pairs.txt, and left_out.txt (broken
pictures). Run it again to continue after an interruption; what is there already is kept.

With --teacher, a face model and its weights, what it says of every picture that is in no pair is kept in teacher.npy
(its directions of picture and mirror image, averaged), by the rows of unlabelled.txt: nets learn from it unlabelled.
Such a model sees the pictures of FACES as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sphereslim.commands.arguments.values import from_zero
from sphereslim.commands.ending import continues
from sphereslim.data.preparation import InputForm
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment.crop import ANCHORS
from sphereslim.facedata.lists import prepare
from sphereslim.facedata.lists.look_alikes import both_sides
from sphereslim.facedata.lists.teacher import Teacher
from sphereslim.files import cache_folder, check_folder, file_digest
from sphereslim.progress import bar, counted


@continues
def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    if args.blends and not args.teacher:
        raise SlimError(f'--blends {args.blends}: needs --teacher, which says what they are')
    people, pictures, bad = prepare.prepare(
        args.faces,
        args.pairs,
        args.out,
        args.min_pictures,
        args.crop,
        counted('cropping', 'person'),
        args.border,
        teacher_of(args) if args.teacher else None,
    )
    print(f'{args.out}: {pictures} pictures of {people} people to train on')
    if bad:
        print(f'{len(bad)} pictures left out, see {args.out}/left_out.txt; the first: {bad[0]}')


def teacher_of(args: argparse.Namespace) -> Teacher:
    """The face model of --teacher."""
    form = InputForm(rgb=args.rgb, crop=args.crop)

    def directions(pictures: Sequence[Path]) -> np.ndarray:
        from sphereslim.evaluation.features import features_of  # here, since the engine takes seconds to load

        deploy, weights = args.teacher
        found = features_of(
            deploy,
            weights,
            pictures,
            cache=cache_folder('features'),
            form=form,
            progress=lambda starts: bar(starts, desc='teacher', unit_scale=32, unit='pictures'),
        )
        return both_sides(found)

    name = file_digest(*args.teacher) + ('-rgb' if args.rgb else '')
    return Teacher(name, directions, args.blends, counted('blending', 'picture'))


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
    parser.add_argument(
        '--border',
        type=from_zero,
        default=0,
        help='pixels to keep around a picture, so that training cuts it at random places (default 0)',
    )
    parser.add_argument(
        '--teacher', nargs=2, metavar=('DEPLOY', 'WEIGHTS'), help='keep what this face model says of the pictures'
    )
    parser.add_argument('--rgb', action='store_true', help='the teacher takes RGB instead of BGR')
    parser.add_argument(
        '--blends',
        type=from_zero,
        default=0,
        help='let the teacher see so many blends of each picture with others, half and half, too (default 0)',
    )
