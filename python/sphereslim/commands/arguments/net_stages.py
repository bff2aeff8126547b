"""The argument that says in which stages of its NetState a network is taken."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sphereslim.commands.arguments.values import names
from sphereslim.net.phases import with_net_stages


def add_net_stages(parser: argparse.ArgumentParser) -> None:
    """Add --stage, which gives names."""
    parser.add_argument(
        '--stage',
        type=names,
        default=(),
        metavar='NAME[,NAME]',
        help='stages to take the network in, where its layers have such rules',
    )


@contextmanager
def in_net_stages(path: str | Path, net_stages: Sequence[str]) -> Iterator[str | Path]:
    """Yield the path of a prototxt in these stages: a file that is there for the time being, its own without any."""
    if not net_stages:
        yield path
        return
    from sphereslim.net.prototxt import read_net, write_prototxt  # here, since the engine takes seconds to load

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, Path(path).name)
        write_prototxt(target, with_net_stages(read_net(path), net_stages))
        yield target
