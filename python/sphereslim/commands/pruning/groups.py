"""List the channel groups of a network: what can only be pruned together, and why some of it cannot be pruned.

A line for every group: its name (the first layer that makes the channels), how many there are, the layers that make
them, carry them along and read them. Give train and deploy prototxt together to see what holds for both. A net whose
layers have rules is looked at in both phases and in every stage that they name, or in those of --stage.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sphereslim.channels.groups import Group, Groups
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.files import check_writable, write_json
from sphereslim.net.phases import with_net_stages
from sphereslim.net.prototxt import read_net
from sphereslim.report.text_tables import text_table


def run(args: argparse.Namespace) -> None:
    check_writable(args.json)
    groups = Groups(*(with_net_stages(read_net(path), args.stage) for path in args.nets))
    if args.json:
        write_json(args.json, [as_dict(group) for group in groups])
    print(
        text_table(
            ('group', 'channels', 'made by', 'carried by', 'read by', 'pruning'),
            [
                [
                    group.name,
                    group.size,
                    names(group.makers),
                    len(set(group.carriers) - set(group.makers)),
                    names(group.readers),
                    group.reason or '; '.join(('yes', *group.caveats)),
                ]
                for group in groups
            ],
        )
    )
    print(f'{len(groups.prunable())} of {len(groups)} groups can be pruned; --json FILE gets every layer of them')


def names(layers: Sequence[str]) -> str:
    """The first layers by name, and how many more."""
    return ', '.join(layers[:2]) + (f' and {len(layers) - 2} more' if len(layers) > 2 else '')


def as_dict(group: Group) -> dict[str, Any]:
    """A Group as plain values."""
    return {
        name: getattr(group, name)
        for name in ('name', 'size', 'makers', 'carriers', 'readers', 'reason', 'caveats', 'prunable', 'is_trunk')
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('nets', nargs='+', metavar='PROTOTXT', help='train and/or deploy prototxt of one network')
    add_net_stages(parser)
    parser.add_argument('--json', metavar='FILE', help='write all of it')
