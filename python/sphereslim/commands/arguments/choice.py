"""Arguments of the commands that choose channels step by step."""

import argparse

from sphereslim.commands.arguments.pictures import add_pictures
from sphereslim.commands.arguments.values import whole


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add --images and what goes with it, how many are for what, and --multiple."""
    parser.add_argument('--multiple', type=whole, default=1, help='numbers of channels as multiples, such as of 8')
    parser.add_argument('--judge-count', type=whole, default=96, help='pictures to judge channels on (default 96)')
    parser.add_argument('--test-count', type=whole, default=64, help='pictures to measure losses on (default 64)')
    add_pictures(parser, count=512)
