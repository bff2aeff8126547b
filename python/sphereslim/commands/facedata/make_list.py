"""Write a training list, `path label` per line, from aligned faces.

FOLDER has a folder per person (CASIA-WebFace, LFW, any tree of that kind), or --identities says who is in which picture
(CelebA). Labels count from 0 without gaps. With --casia the people of CASIA-WebFace who are also in LFW are left out.
"""

import argparse
from typing import Any

from sphereslim.checkout import PUBLISHED
from sphereslim.data.pairs import people_of
from sphereslim.errors import SlimError
from sphereslim.facedata.lists import folders, training_list
from sphereslim.files import check_writable, read_json, write_text


def run(args: argparse.Namespace) -> None:
    check_writable(args.out)
    people: dict[Any, list[str]]  # by folder, or by identity
    unknown: list[str] = []
    if args.identities:
        people, unknown = training_list.by_identity(args.identities, folders.pictures(args.folder))
    else:
        people = folders.people(args.folder)
    without = {*(also_in_lfw() if args.casia else ()), *(people_of(args.pairs) if args.pairs else ())}
    chosen = training_list.choose(people, without, args.min_pictures)
    if not chosen:
        raise SlimError(f'{args.folder}: nobody left of {len(people)} people')
    write_text(args.out, training_list.as_text(chosen))
    print(
        f'{args.out}: {sum(map(len, chosen.values()))} pictures of {len(chosen)} people; '
        f'{len(people) - len(chosen)} people left out'
    )
    if unknown:
        print(f'{len(unknown)} pictures are not in {args.identities}, the first: {unknown[0]}')


def also_in_lfw() -> list[str]:
    """The folders of CASIA-WebFace with people of LFW, as SphereFace+ lists them."""
    return read_json(PUBLISHED / 'sphereface_plus.json')['training']['excluded_identities_also_in_LFW']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', metavar='FOLDER', help='folder of aligned pictures; paths in the list are below it')
    parser.add_argument('--out', required=True, help='list to write')
    parser.add_argument('--identities', metavar='FILE', help='lines `picture identity`, e.g. identity_CelebA.txt')
    parser.add_argument('--casia', action='store_true', help="leave out CASIA-WebFace's three people of LFW")
    parser.add_argument('--pairs', metavar='FILE', help='leave out everyone in this pairs.txt')
    parser.add_argument('--min-pictures', type=int, default=1, help='leave out people with fewer pictures (default 1)')
