"""Arguments that say which pictures to measure on, and how they become a net's input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sphereslim.commands.arguments.values import seed, whole
from sphereslim.data.feed import Feed, feed_for
from sphereslim.data.pairs import PairSet, pair_sets
from sphereslim.data.pictures import read_picture, sample_pictures
from sphereslim.data.preparation import CROPS, CUTS, InputForm
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.phases import reads_own_data


def add_pictures(parser: argparse.ArgumentParser, count: int = 128, required: bool = True) -> None:
    """Add --images and what goes with it; `count` is the default number of pictures."""
    parser.add_argument(
        '--images',
        required=required,
        metavar='SOURCE',
        help='folder of pictures (searched deeply), or list file of them (paths from its own folder on)',
    )
    parser.add_argument('--not-in', metavar='PAIRS', help='leave out the people of this pairs file')
    parser.add_argument('--count', type=whole, default=count, help=f'pictures to measure on (default {count})')
    parser.add_argument('--seed', type=seed, default=0, help='of the choice of pictures and of all else (default 0)')
    add_form(parser)


def add_pairs(parser: argparse.ArgumentParser, required: bool = True, several: bool = False) -> None:
    """Add --pairs to verify on, the --pictures that they name, and whether their mirror images count.

    With `several` both may be given more than once; `sets_of` reads them.
    """
    what = "pairs.txt in LFW's form" + ('' if required else ': measure verification accuracy')
    more = '; again for each --pairs, or once for all' if several else ''
    action = 'append' if several else 'store'
    parser.add_argument(
        '--pairs', required=required, action=action, help=what + ('; may be given several times' if several else '')
    )
    parser.add_argument(
        '--pictures',
        required=required,
        action=action,
        metavar='FOLDER',
        help=f'of the pairs: <Name>/<Name>_0001.jpg, aligned as in training{more}',
    )
    parser.add_argument(
        '--mirror', action=argparse.BooleanOptionalAction, default=True, help='also use the mirror image (default)'
    )


def pairs_folder(args: argparse.Namespace) -> str:
    """The folder --pictures of --pairs; SlimError where it is not said."""
    if not args.pictures:
        raise SlimError('--pairs needs --pictures, the folder of the pictures that it names')
    return str(args.pictures)


def sets_of(args: argparse.Namespace) -> list[PairSet]:
    """The PairSets that --pairs and --pictures name, none without --pairs."""
    if not args.pairs:
        return []
    pairs_folder(args)
    return pair_sets(args.pairs, args.pictures)


def add_form(parser: argparse.ArgumentParser, several_means: bool = False) -> None:
    """Add what turns a picture into an input.

    With `several_means` there may be one for each channel, separated by spaces.
    """
    words = 'subtracted: one, or one per channel' if several_means else 'subtracted from pixels'
    nargs = '+' if several_means else None
    parser.add_argument('--mean', type=float, nargs=nargs, default=127.5, help=f'{words} (default 127.5)')
    parser.add_argument('--scale', type=float, default=0.0078125, help='multiplied after that (default 1/128)')
    parser.add_argument('--rgb', action='store_true', help='channels as RGB instead of BGR')
    parser.add_argument(
        '--crop',
        choices=CROPS,
        default='centre',
        help='the part of larger pictures, or how they are resized (default centre)',
    )
    parser.add_argument('--batch', type=whole, default=32, help='pictures at a time (default 32)')


def form_of(args: argparse.Namespace) -> InputForm:
    """The InputForm that the arguments say."""
    means = args.mean if isinstance(args.mean, list) else [args.mean]
    return InputForm(means[0] if len(means) == 1 else tuple(means), args.scale, args.rgb, args.crop)


def feeds(args: argparse.Namespace, net: caffe_pb2.NetParameter, *more: int) -> list[Feed]:
    """A Feed of --count pictures for a deploy NetParameter, and one of each further number, no picture in two."""
    wanted = [args.count, *more]
    chosen = sample_pictures(args.images, wanted, args.seed, args.not_in)
    tell_fewer(args.images, wanted, [len(paths) for paths in chosen])
    made = [feed_for(net, paths, form_of(args), args.batch) for paths in chosen]
    tell_cropped(chosen[0][0], made[0].shape, made[0].form.crop)
    return made


def tell_fewer(images: str | Path, wanted: Sequence[int], found: Sequence[int]) -> None:
    """Print a note where a folder or a list has fewer pictures than were asked for."""
    if sum(found) < sum(wanted):
        asked, taken = (' and '.join(map(str, counts)) for counts in (wanted, found))
        print(f'note: {images}: too few pictures for {asked}, {taken} are taken', file=sys.stderr)


def tell_cropped(picture: str | Path, shape: Sequence[int], crop: str) -> None:
    """Print a note where a picture is larger than the (channels, height, width) of an input, and is cut to that."""
    if crop not in CUTS or len(shape) != 3:
        return
    height, width = read_picture(picture).shape[:2]
    if height > shape[1] or width > shape[2]:
        where = 'in the centre' if crop == 'centre' else 'at the left'
        print(
            f'note: {picture}: is {width}x{height}; of such pictures the {shape[2]}x{shape[1]} {where} are taken '
            '(--crop resize takes the whole)',
            file=sys.stderr,
        )


def source(args: argparse.Namespace, net: caffe_pb2.NetParameter) -> tuple[Feed | None, int | None]:
    """(None, --batches) for a NetParameter that reads data of its own, else (a Feed of --images, None): all of that.

    SlimError where a net without data of its own, the file `args.net`, is given no --images, or one with data is.
    """
    if reads_own_data(net):
        if args.images:
            raise SlimError(
                f'{args.net}: reads data of its own, not the pictures of --images; expected a deploy prototxt with them'
            )
        return None, args.batches
    if not args.images:
        raise SlimError(f'{args.net}: reads no data of its own, expected --images')
    return feeds(args, net)[0], None
