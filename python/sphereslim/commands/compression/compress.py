"""Make a network smaller in one command: fewer channels, refitted and distilled, fewer bits, with a report.

Without a budget the trade-off is told: nets of 90 to 40 % of the multiply-accumulates, and what they lose. Budgets may
be given together. Channels leave step by step, those first whose loss is least, judged on the pictures of --images
without labels; the result is refitted by least squares, on request distilled by the original, and its weights are
rounded in view of the pictures. The folder then holds result/ with deploy.prototxt, weights.caffemodel,
weights.qcaffemodel and net.onnx, report.html, and commands.sh with the commands that repeat each step by hand.

A run that was stopped goes on where it was; with other budgets in the same folder, steps that are there are taken over.

examples:
  sphereslim compress deploy.prototxt net.caffemodel --images faces/ --out slim/
  sphereslim compress deploy.prototxt net.caffemodel --images faces/ --macs 50% --train-minutes 30 --out slim/
  sphereslim compress deploy.prototxt net.caffemodel --images faces/ --keep-accuracy 99.2 --pairs pairs.txt \\
      --pictures lfw/ --out slim/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sphereslim.commands.arguments.budgets import COUNTED, add_counted, budget
from sphereslim.commands.arguments.choice import add_choice
from sphereslim.commands.arguments.compared import ENDS, tell_softmax
from sphereslim.commands.arguments.pictures import add_pairs, form_of, sets_of
from sphereslim.commands.arguments.values import not_negative, positive
from sphereslim.commands.ending import continues
from sphereslim.compression.budgets import Budget, Budgets
from sphereslim.compression.report import nets_table
from sphereslim.compression.request import Counts, Request
from sphereslim.compression.run import compress
from sphereslim.files import check_folder
from sphereslim.net.prototxt import read_net
from sphereslim.report.markdown import table_text


@continues
def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    request = request_of(args)
    tell_softmax(read_net(request.deploy), ENDS)
    found = compress(request, lambda line: print(line, flush=True))
    print(table_text(nets_table(found['rows'])))
    print(f'report: {found["report"]}')


def request_of(args: argparse.Namespace) -> Request:
    """The Request that the arguments say."""
    budgets = Budgets(args.macs, args.parameters, args.bytes, args.milliseconds, args.keep_accuracy)
    return Request(
        args.deploy,
        args.weights,
        Path(args.images),
        args.out,
        budgets,
        tuple(sets_of(args)),
        form_of(args),
        args.mirror,
        Path(args.not_in) if args.not_in else None,
        args.multiple,
        args.train_minutes,
        Counts(args.judge_count, args.test_count, args.count),
        args.batch,
        args.seed,
        args.gpu,
    )


def milliseconds(text: str) -> Budget:
    """The type of a time: a share in percent, or milliseconds."""
    if text.endswith('%'):
        return budget(text)
    return Budget(text, None, positive(text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', type=Path, help='deploy prototxt')
    parser.add_argument('weights', type=Path, help='its caffemodel')
    parser.add_argument('--out', type=Path, required=True, help='folder of the result')
    for name, what in (*COUNTED.items(), ('bytes', 'bytes of the file')):
        add_counted(parser, name, what)
    parser.add_argument(
        '--milliseconds',
        type=milliseconds,
        metavar='BUDGET',
        help='forward time of a picture that may remain, by `caffe time` on this machine, such as 60%% or 4.5',
    )
    parser.add_argument(
        '--keep-accuracy',
        type=positive,
        metavar='PERCENT',
        help='the least accuracy on the first --pairs: channels leave only as long as it is kept, and come back or '
        'bits are added where the finished file would have less',
    )
    parser.add_argument(
        '--train-minutes',
        type=not_negative,
        default=0.0,
        metavar='N',
        help='distil the result by the original for so many minutes of CPU time (default 0: no training)',
    )
    parser.add_argument('--gpu', help='GPU number for that')
    add_pairs(parser, required=False, several=True)
    add_choice(parser)
