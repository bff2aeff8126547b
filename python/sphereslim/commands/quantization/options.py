"""Arguments that several commands of `sphereslim quantize` have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from sphereslim.commands.arguments.net_stages import in_net_stages
from sphereslim.commands.arguments.pictures import feeds
from sphereslim.data.feed import Feed
from sphereslim.errors import SlimError
from sphereslim.evaluation.measures import OutputMeasure
from sphereslim.net.prototxt import read_net
from sphereslim.progress import bar
from sphereslim.quantization.bits import FILTER, HALF

Subparsers: TypeAlias = 'argparse._SubParsersAction[argparse.ArgumentParser]'

SCHEMES = ('log', 'log+sign', 'linear', FILTER, 'binary')
SCHEME = FILTER
SCOPES = ('layer', 'network')
LAYERS = ('conv', 'all')
CODINGS = ('none', 'zlib', 'lzma')
NEAREST, SECOND_ORDER = 'nearest', 'second-order'


def vectors(text: str) -> int | str:
    """The type of --vectors: `half`, or a number of bits."""
    if text != HALF and not text.isdigit():
        raise argparse.ArgumentTypeError(f'{text}, expected {HALF} or a number of bits')
    return text if text == HALF else int(text)


def add_vectors(command: argparse.ArgumentParser) -> None:
    """Add --vectors."""
    command.add_argument(
        '--vectors',
        type=vectors,
        metavar='half|BITS',
        help='biases, slopes and scales in half precision (half), or in so many bits as the weights are, with the norm '
        'statistics (they stay float32 otherwise)',
    )


def add_layers_and_coding(command: argparse.ArgumentParser) -> None:
    """Add --layers and --coding."""
    command.add_argument(
        '--layers', choices=LAYERS, default='all', help='quantize convolutions only, or every layer (default)'
    )
    command.add_argument(
        '--coding', choices=CODINGS, default='none', help='entropy coding of the indices (default none)'
    )


def add_rounding(command: argparse.ArgumentParser, default: str) -> None:
    """Add --rounding."""
    command.add_argument(
        '--rounding',
        choices=(NEAREST, SECOND_ORDER),
        default=default,
        help=f'to the nearest level, or in view of the pictures of --images ({SCHEME} only): later weights of a layer '
        f'make up for what rounding the earlier ones does to its outputs (default {default})',
    )


def check_rounding(options: argparse.Namespace) -> None:
    """SlimError where the pictures or the scheme for the rounding asked for are missing."""
    if options.rounding == SECOND_ORDER:
        if options.scheme != FILTER:
            raise SlimError(f'--rounding {SECOND_ORDER}: is of the scheme {FILTER}, not of {options.scheme}')
        if not (options.images and options.deploy):
            raise SlimError(f'--rounding {SECOND_ORDER}: expected --deploy, and --images, pictures to round in view of')


def rounding_bar(layers: Iterable[str]) -> Iterable[str]:
    """The layers that are rounded in view of pictures, under a bar."""
    return bar(layers, desc='rounding layers')


def distance(options: argparse.Namespace) -> tuple[OutputMeasure, Sequence[str | Path]]:
    """(measure of output distance to the net of --deploy and its weights, the pictures it is taken on)."""
    if not options.images:
        raise SlimError('expected --images, a folder or a list of pictures to compare outputs on')
    (feed,) = feeds(options, read_net(options.deploy))
    return measure_on(options, feed), feed.paths


def measure_on(options: argparse.Namespace, feed: Feed) -> OutputMeasure:
    """The measure of output distance on a Feed, whose batches stay in memory."""
    batches = list(feed())
    return OutputMeasure(options.deploy, options.weights, lambda: batches)


def in_stages(run: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """A command `run` for which `options.deploy` is in the stages of `options.stage`."""

    def call(options: argparse.Namespace) -> None:
        with in_net_stages(options.deploy, options.stage) as options.deploy:
            run(options)

    return call
