"""upgrade_net_proto_text, upgrade_net_proto_binary, upgrade_solver_proto_text: old files into the present form."""

import argparse
from collections.abc import Callable, Sequence

from caffe import log
from caffe.cli.flags import Flag, Spec, run
from caffe.errors import CaffeError
from caffe.export.bvlc import TARGETS, to_bvlc
from caffe.net.net import Net
from caffe.proto import caffe_pb2, dialects, wire
from caffe.proto.files import read_net, read_solver, write_bytes, write_text_message
from caffe.proto.upgrade import upgrade_net

Convert = Callable[[str, str, argparse.Namespace], None]

_DIALECTS = (
    Flag('dialect', '', f'the Caffe whose numbers INPUT has, guessed without it: {", ".join(dialects.names())}'),
    Flag('output_dialect', '', 'the Caffe whose numbers OUTPUT gets (default: that of INPUT)'),
)
_LAYERS = (
    Flag(
        'to',
        '',
        "whose layers OUTPUT has, for a deploy net: bvlc (Caffe 1.0's alone) or opencv (SSD's besides); those of forks "
        'are replaced where that is exact, and refused otherwise',
    ),
    Flag('weights', '', 'a caffemodel of INPUT (with -to)'),
    Flag('output_weights', '', 'the caffemodel to write, for OUTPUT (with -weights)'),
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

    def convert(source: str, target: str, flags: argparse.Namespace) -> None:
        if bool(flags.weights) != bool(flags.output_weights) or flags.weights and not flags.to:
            raise CaffeError('-weights, -output_weights and -to go together, expected all of them, or -to alone')
        if flags.to:
            _write_in_layers_of(flags.to, source, target, flags.weights, flags.output_weights)
        else:
            write_text_message(target, read_net(source))

    return _run('upgrade_net_proto_text', 'a net prototxt', convert, argv, _LAYERS)


def _write_in_layers_of(to: str, source: str, target: str, weights: str, output_weights: str) -> None:
    if to not in TARGETS:
        raise CaffeError(f"-to '{to}': expected {' or '.join(TARGETS)}")
    net = Net(source, caffe_pb2.TEST)
    if weights:
        net.copy_from(weights)
    made = to_bvlc(net, to, bool(weights))
    if weights:
        made.net().save(output_weights)
    write_text_message(target, made.param)


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
