"""Draw pairs to verify on from a folder of aligned faces, and write them in the form of LFW's pairs.txt.

FOLDER has a folder per person with pictures <person>_0001.jpg, <person>_0002.jpg and so on. Each of --people people who
are drawn at random is in one fold only, and is not trained on by the commands that take the list. The same seed draws
the same pairs.
"""

import argparse

import numpy as np

from sphereslim.commands.arguments.values import seed, whole
from sphereslim.errors import SlimError
from sphereslim.facedata.lists import folders, pairs
from sphereslim.files import check_writable, write_text


def run(args: argparse.Namespace) -> None:
    check_writable(args.out)
    everyone = folders.people(args.folder)
    able = [person for person, pictures in everyone.items() if numbered(person, pictures) >= args.min_pictures]
    if len(able) < args.people:
        raise SlimError(
            f'{args.folder}: {len(able)} of {len(everyone)} people have {args.min_pictures} pictures named '
            f'<person>/<person>_0001.jpg and so on, expected {args.people} (--people, --min-pictures)'
        )
    rng = np.random.default_rng(args.seed)
    chosen = [able[i] for i in sorted(rng.choice(len(able), args.people, replace=False))]
    write_text(args.out, pairs.as_text(pairs.draw(chosen, args.min_pictures, args.folds, args.per_fold, rng)))
    print(
        f'{args.out}: {args.folds} folds of {args.per_fold} matched and as many mismatched pairs of {args.people} '
        f'people; {len(everyone) - args.people} others are left to train on'
    )


def numbered(person: str, pictures: list[str]) -> int:
    """How many pictures are named as pairs.txt names them, from 1 without a gap; a name with spaces cannot be."""
    stems = {picture.rpartition('/')[2].rpartition('.')[0] for picture in pictures}
    count = 0
    while not set(person) & set(' \t') and f'{person}_{count + 1:04d}' in stems:
        count += 1
    return count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', metavar='FOLDER', help='folder of person folders with aligned pictures')
    parser.add_argument('--out', required=True, help='list to write')
    parser.add_argument('--people', type=whole, default=50, help='people to verify on (default 50)')
    parser.add_argument(
        '--min-pictures', type=whole, default=4, help='pictures of each of them, at least and at most (default 4)'
    )
    parser.add_argument('--folds', type=whole, default=10, help='parts without a person in common (default 10)')
    parser.add_argument('--per-fold', type=whole, default=30, help='matched pairs, and as many mismatched (default 30)')
    parser.add_argument('--seed', type=seed, default=0, help='another seed draws other pairs (default 0)')
