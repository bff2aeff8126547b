"""upgrade_net_proto_text, upgrade_net_proto_binary, upgrade_solver_proto_text: old files into the present form."""

import argparse
from collections.abc import Callable, Sequence

from caffe import log
from caffe.cli.flags import Spec, run
from caffe.proto import wire
from caffe.proto.files import read_net, read_solver, write_bytes, write_text_message
from caffe.proto.upgrade import upgrade_net


def _spec(prog: str, kind: str) -> Spec:
    return Spec(
        prog,
        f'Write {kind} of any age in the form of Caffe 1.0.',
        (),
        (('INPUT', 'the old file'), ('OUTPUT', 'the file to write')),
    )


def net_text(argv: Sequence[str] | None = None) -> int:
    """Run upgrade_net_proto_text; the exit status."""
    return _run(
        'upgrade_net_proto_text',
        'a net prototxt',
        lambda source, target: write_text_message(target, read_net(source)),
        argv,
    )


def net_binary(argv: Sequence[str] | None = None) -> int:
    """Run upgrade_net_proto_binary; the exit status."""

    def convert(source: str, target: str) -> None:
        # raw messages keep blobs as they are, and fields by number, whatever the layer's type makes of them
        write_bytes(target, upgrade_net(wire.parse_raw(source, 'NetParameter'), source).SerializeToString())

    return _run('upgrade_net_proto_binary', 'a binary net (a caffemodel)', convert, argv)


def solver_text(argv: Sequence[str] | None = None) -> int:
    """Run upgrade_solver_proto_text; the exit status."""
    return _run(
        'upgrade_solver_proto_text',
        'a solver prototxt',
        lambda source, target: write_text_message(target, read_solver(source)),
        argv,
    )


def _run(prog: str, kind: str, convert: Callable[[str, str], None], argv: Sequence[str] | None) -> int:
    def action(flags: argparse.Namespace, positionals: list[str]) -> None:
        convert(*positionals)
        log.info(prog, f'Wrote upgraded file to {positionals[1]}')

    return run(_spec(prog, kind), action, argv)
