"""Write train.txt and val.txt (`picture label`) of CelebA's most photographed people from identity_CelebA.txt.

Pictures are those of img_align_celeba; give its folder to ImageData as root_folder. The same seed gives the same split.
"""

import argparse
from pathlib import Path

from sphereslim.commands.arguments.values import seed, whole
from sphereslim.facedata.lists.celeba import most_photographed, read_people, split
from sphereslim.files import check_folder, write_text


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    people = read_people(args.identities)
    chosen = most_photographed(people, args.people)
    lists = split(people, chosen, args.validation, args.seed)
    for name, lines in zip(('train.txt', 'val.txt'), lists):
        write_text(args.out / name, ''.join(lines))
    least = len(people[chosen[-1]])
    print(
        f'{args.out}: {len(lists[0])} pictures to train on and {len(lists[1])} to validate, of {len(chosen)} people '
        f'with {least} or more pictures'
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('identities', help='identity_CelebA.txt')
    parser.add_argument('--out', type=Path, default=Path('data/celeba'), help='folder to write (default data/celeba)')
    parser.add_argument('--people', type=whole, default=2360, help='how many people (default 2360)')
    parser.add_argument('--validation', type=float, default=0.1, help='share of pictures to validate (default 0.1)')
    parser.add_argument('--seed', type=seed, default=1, help='another seed gives another split (default 1)')
