#!/usr/bin/env python3
"""Hold training logs against published ones: loss, lambda, inter-class distance, rate, accuracy.

A source is a Caffe log of any age or fork (plain or .gz; several runs in one are told apart), a folder of stages (its
*/train.log), or a csv of curves read off a figure; `file.csv:SphereFace-4` takes one curve. Without --ours the first
source is the published one and the others are ours. One source alone is checked against its own header: rate steps
where the solver says, lambda as its formula. Stages are paired by name, else in order, else each with each.
"""

import argparse
import json

from sphereslim.checkout import PUBLISHED
from sphereslim.commands.ending import run_command
from sphereslim.files import check_writable, write_bytes
from sphereslim.logs.compare.compare import judge, pair, read_source, self_checks
from sphereslim.logs.compare.text import alone, as_data, pair_lines, summary, training_lines


def arguments():
    example = (
        'Example: tools/compare_logs.py published/curves/base_training_loss.csv:SphereFace-4 work/base/train.log'
        ' --html compare.html'
    )
    parser = argparse.ArgumentParser(description=__doc__, epilog=example)
    parser.add_argument('sources', metavar='LOG', nargs='+', help='the published source, then ours; see above')
    parser.add_argument('--ours', metavar='LOG', nargs='+', help='our sources; all others are then published')
    parser.add_argument('--html', metavar='FILE', help='write one self-contained page with the curves')
    parser.add_argument('--json', metavar='FILE', help='write every number')
    parser.add_argument(
        '--tolerance',
        metavar='SHARE',
        type=float,
        default=0.05,
        help='allowed share of the published loss or distance (default 0.05); three standard errors '
        'of the smoothed curves are added',
    )
    parser.add_argument(
        '--reach',
        metavar='LOSS',
        type=float,
        nargs='+',
        default=[],
        help='losses to time (default: along the published drop)',
    )
    parser.add_argument(
        '--checkpoints',
        metavar='N',
        type=int,
        default=12,
        help='places to compare at, evenly spread over the common iterations (default 12)',
    )
    parser.add_argument(
        '--published-data',
        metavar='FOLDER',
        default=PUBLISHED,
        help='where the published lambda parameters are, for logs that do not print their net',
    )
    options = parser.parse_args()
    if not 0 < options.tolerance < 1 or options.checkpoints < 2:
        parser.error('expected a --tolerance between 0 and 1 and at least 2 --checkpoints')
    return options


def main():
    options = arguments()
    check_writable(options.html, options.json)
    theirs, mine = (options.sources, options.ours) if options.ours else (options.sources[:1], options.sources[1:])
    published, ours = ([stage for name in names for stage in read_source(name)] for names in (theirs, mine))
    distinct = {(stage.label, stage.names): stage for stage in [*published, *ours]}.values()
    sources = [(stage, self_checks(stage, options.published_data)) for stage in distinct]
    pairs = [judge(*both, options.tolerance, options.reach, options.checkpoints) for both in pair(published, ours)]
    blocks = ['\n'.join(training_lines(*source)) for source in sources] + ['\n'.join(pair_lines(one)) for one in pairs]
    print('\n\n'.join(block for block in [*blocks, alone(published, ours, pairs), summary(pairs)] if block))
    if options.json:
        write_bytes(options.json, json.dumps(as_data(sources, pairs), indent=1, default=float).encode())
    if options.html:
        # Only a page needs matplotlib, which takes seconds to load.
        from sphereslim.logs.compare.page import page

        write_bytes(options.html, page(sources, pairs).encode())


if __name__ == '__main__':
    run_command(main)
