"""Old files into the present form, nets of forks into layers of others.

upgrade_net_proto_text, upgrade_net_proto_binary, upgrade_solver_proto_text and `caffe upgrade_net`.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from caffe import log
from caffe.cli.flags import Flag, Spec, need, run
from caffe.errors import CaffeError
from caffe.export.bvlc.conversion import TARGETS, to_bvlc
from caffe.net.net import Net
from caffe.proto import caffe_pb2, dialects, wire
from caffe.proto.files import read_net, read_solver, write_bytes, write_text_message
from caffe.proto.upgrade import upgrade_net as upgraded

Convert = Callable[[str, str, argparse.Namespace], None]

_DIALECTS = (
    Flag('dialect', '', f'the Caffe whose numbers INPUT has, guessed without it: {", ".join(dialects.names())}'),
    Flag('output_dialect', '', 'the Caffe whose numbers OUTPUT gets (default: that of INPUT)'),
)
TO = Flag(
    'to',
    '',
    "whose layers OUTPUT has, for a deploy net: bvlc (Caffe 1.0's alone) or opencv (SSD's besides); those of forks "
    'are replaced where that is exact, and refused otherwise',
)
_LAYERS = (
    TO,
    Flag('weights', '', 'a caffemodel of INPUT (with -to)'),
    Flag('output_weights', '', 'the caffemodel to write, for OUTPUT (with -weights)'),
)
_BINARY = (
    *_DIALECTS,
    TO,
    Flag('model', '', 'the deploy prototxt whose weights INPUT holds (with -to)'),
    Flag('output_model', '', 'the prototxt to write, for OUTPUT (with -to)'),
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


@log.warnings_only()
def upgrade_net(flags: argparse.Namespace) -> None:
    """`caffe upgrade_net`: the net -model with the weights -weights as -out and -output_weights, in layers of -to."""
    need(flags, 'model', 'out')
    if flags.output_weights and not flags.weights:
        raise CaffeError('-output_weights: expected -weights with it')
    if flags.weights and not flags.to:
        raise CaffeError('-weights: expected -to with it, as weights stay what they are otherwise')
    if not flags.to:
        write_text_message(flags.out, read_net(flags.model))
        print(f'{flags.out}: the net of {flags.model} in the present form')
        return
    weights = flags.output_weights or str(Path(flags.out).with_suffix('.caffemodel'))
    _write_in_layers_of(flags.to, flags.model, flags.out, flags.weights, weights)
    print(f'{flags.out}{f", {weights}" if flags.weights else ""}: the net of {flags.model} in layers of {flags.to}')


def _write_in_layers_of(to: str, source: str, target: str, weights: str, output_weights: str) -> None:
    """The deploy net `source` in layers of `to` as `target`, and its `weights`, where they are given."""
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
        if bool(flags.to) != bool(flags.model) or bool(flags.to) != bool(flags.output_model):
            raise CaffeError('-to, -model and -output_model go together, expected all of them or none')
        if flags.to:
            if flags.dialect or flags.output_dialect:
                raise CaffeError('-dialect: expected it without -to, which takes weights by the names of their layers')
            _write_in_layers_of(flags.to, flags.model, flags.output_model, source, target)
            return
        net, dialect = wire.read_net(source, flags.dialect)
        content = dialects.net_to_bytes(upgraded(net, source), flags.output_dialect or dialect, source)
        write_bytes(target, content)

    return _run('upgrade_net_proto_binary', 'a binary net (a caffemodel)', convert, argv, _BINARY)


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
