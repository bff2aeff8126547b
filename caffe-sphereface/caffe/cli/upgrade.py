"""upgrade_net_proto_text, upgrade_net_proto_binary, upgrade_solver_proto_text: old files into the present form."""

import argparse
from collections.abc import Callable, Sequence

from caffe import log
from caffe.cli.flags import Flag, Spec, run
from caffe.proto import dialects, wire
from caffe.proto.files import read_net, read_solver, write_bytes, write_text_message
from caffe.proto.upgrade import upgrade_net

Convert = Callable[[str, str, argparse.Namespace], None]

_DIALECTS = (
    Flag('dialect', '', f'the Caffe whose numbers INPUT has, guessed without it: {", ".join(dialects.names())}'),
    Flag('output_dialect', '', 'the Caffe whose numbers OUTPUT gets (default: that of INPUT)'),
)


def _spec(prog: str, kind: str, flags: tuple[Flag, ...] = ()) -> Spec:
    return Spec(
        prog,
        f'Write {kind} of any age in the form of Caffe 1.0.',
        flags,
        (('INPUT', 'the old file'), ('OUTPUT', 'the file to write')),
    )


def net_text(argv: Sequence[str] | None = None) -> int:
    """Run upgrade_net_proto_text; the exit status."""
    return _run(
        'upgrade_net_proto_text',
        'a net prototxt',
        lambda source, target, _: write_text_message(target, read_net(source)),
        argv,
    )


def net_binary(argv: Sequence[str] | None = None) -> int:
    """Run upgrade_net_proto_binary; the exit status."""

    def convert(source: str, target: str, flags: argparse.Namespace) -> None:
        net, dialect = wire.read_net(source, flags.dialect)
        content = dialects.net_to_bytes(upgrade_net(net, source), flags.output_dialect or dialect, source)
        write_bytes(target, content)

    return _run('upgrade_net_proto_binary', 'a binary net (a caffemodel)', convert, argv, _DIALECTS)


def solver_text(argv: Sequence[str] | None = None) -> int:
    """Run upgrade_solver_proto_text; the exit status."""
    return _run(
        'upgrade_solver_proto_text',
        'a solver prototxt',
        lambda source, target, _: write_text_message(target, read_solver(source)),
        argv,
    )


def _run(prog: str, kind: str, convert: Convert, argv: Sequence[str] | None, flags: tuple[Flag, ...] = ()) -> int:
    def action(values: argparse.Namespace, positionals: list[str]) -> None:
        source, target = positionals
        convert(source, target, values)
        log.info(prog, f'Wrote upgraded file to {positionals[1]}')

    return run(_spec(prog, kind, flags), action, argv)
