"""Put a frozen teacher and distillation losses into a student's train prototxt, and train it with `caffe train`.

Writes train.prototxt and init.caffemodel (the teacher's weights under teacher_…, and the student's where given) into
the output folder; `caffe train` with them and any solver works on every Caffe 1.0. --extract takes the student's
weights out of what training ended with.

example:
  sphereslim distill --student prototxt/vgg11bn/flame/train.prototxt --teacher prototxt/vgg11bn/deploy.prototxt \\
      --teacher-weights vgg11bn.caffemodel --logits fc9 --temperature 4 --out distilled/
  caffe train -solver solver.prototxt -weights distilled/init.caffemodel     (its net: distilled/train.prototxt)
  sphereslim distill --extract snapshot_iter_1000.caffemodel --out flame.caffemodel
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sphereslim.commands.arguments.values import not_negative, positive, shape
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import check_folder, check_writable, write_bytes
from sphereslim.net.prototxt import read_net, write_prototxt
from sphereslim.net.weights import read_weights
from sphereslim.rewrite.distill import (
    PREFIX,
    add_embedding_loss,
    add_logits_loss,
    join_weights,
    with_teacher,
    without_teacher,
)


def run(options: argparse.Namespace) -> None:
    if options.extract:
        check_writable(options.out)
        weights = without_teacher(read_weights(options.extract))
        write_bytes(options.out, weights.SerializeToString())
        print(f'{options.out}: {len(weights.layer)} layers of the student')
        return
    missing = [name for name in ('student', 'teacher', 'teacher_weights') if not getattr(options, name)]
    if missing or not (options.logits or options.embedding):
        raise SlimError('expected --student, --teacher, --teacher-weights, and --logits or --embedding')
    check_folder(options.out)
    net = distilled(options)
    teacher = read_weights(options.teacher_weights)
    student = read_weights(options.student_weights) if options.student_weights else None
    output = Path(options.out)
    output.mkdir(parents=True, exist_ok=True)
    write_bytes(output / 'init.caffemodel', join_weights(student, teacher).SerializeToString())
    write_prototxt(output / 'train.prototxt', net, f'Student with the frozen teacher {options.teacher}.')
    print(f'{output}/train.prototxt, {output}/init.caffemodel: {len(net.layer)} layers')


def distilled(options: argparse.Namespace) -> caffe_pb2.NetParameter:
    """The train net with teacher and losses."""
    net = with_teacher(read_net(options.student), read_net(options.teacher), options.shape)
    if options.logits:
        own, others = _pair(options.logits)
        net = add_logits_loss(net, own, others, options.temperature, options.weight, options.shape)
    if options.embedding:
        own, others = _pair(options.embedding)
        net = add_embedding_loss(net, own, others, options.embedding_weight, options.shape)
    return net


def _pair(text: str) -> tuple[str, str]:
    """`fc9` or `student:teacher` -> the student's blob, the teacher's under its prefix."""
    own, _, other = text.partition(':')
    return own, PREFIX + (other or own)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--student', help="the student's train prototxt")
    parser.add_argument('--teacher', help="the teacher's train or deploy prototxt")
    parser.add_argument('--teacher-weights', help="the teacher's caffemodel")
    parser.add_argument('--student-weights', help='where the student starts (default: from its fillers)')
    parser.add_argument(
        '--logits', metavar='BLOB[:TEACHERS]', help='soften and match these logits (needs the layer Log)'
    )
    parser.add_argument('--temperature', type=positive, default=4, help='of the softened logits (default 4)')
    parser.add_argument('--weight', type=not_negative, default=1, help='of the logits loss (default 1)')
    parser.add_argument('--embedding', metavar='BLOB[:TEACHERS]', help='match these features, L2-normalised')
    parser.add_argument('--embedding-weight', type=not_negative, default=1, help='of the embedding loss (default 1)')
    parser.add_argument('--shape', type=shape, metavar='N,C,H,W', help='size of the input where no prototxt says it')
    parser.add_argument('--extract', metavar='CAFFEMODEL', help="take the student's weights out of this instead")
    parser.add_argument('--out', required=True, help='a folder; with --extract the caffemodel to write')
