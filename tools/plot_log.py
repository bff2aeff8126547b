#!/usr/bin/env python3
"""Draw a Caffe training log: loss, lambda, inter-class distance, rate, accuracy, tests.

With --follow the picture is drawn again whenever the log has grown, until Ctrl-C; a line on the terminal says how far
the training is and how long it will take.
"""

import argparse
import signal
import time
from pathlib import Path

from sphereslim.commands.ending import run_command
from sphereslim.files import check_writable, write_bytes
from sphereslim.logs import LogError, parse_log
from sphereslim.logs.compare.plots import draw_log
from sphereslim.logs.follow import Follower, progress
from sphereslim.report.drawing import png


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='Example: tools/plot_log.py work/base/train.log -o base.png --follow'
    )
    parser.add_argument('log', metavar='LOG', help='a log of caffe train, plain or .gz')
    parser.add_argument('-o', '--output', metavar='PNG', help="the picture (default: the log's name with .png)")
    parser.add_argument('--follow', action='store_true', help='go on while the log is written; Ctrl-C ends')
    parser.add_argument(
        '--interval', metavar='SECONDS', type=float, default=5.0, help='how often --follow looks at the log (default 5)'
    )
    options = parser.parse_args()
    if not 0 < options.interval < float('inf'):
        parser.error('expected an --interval above 0')
    return options


def draw(runs, log, output):
    write_bytes(output, png(draw_log(runs, Path(log).name), dpi=120))
    print(f'{output}: {progress(runs)}', flush=True)


def follow(log, output, interval):
    """Draw the growing log every `interval` seconds in which it gained rows, until Ctrl-C."""
    follower, stopped = Follower(log), []
    signal.signal(signal.SIGINT, lambda *_: stopped.append(True))  # a picture that is being drawn is finished first
    while not stopped:
        if follower.read_on() and any(run.rows for run in follower.runs):
            draw(follower.runs, log, output)
        time.sleep(interval)
    print('\nstopped; ' + (f'the last picture is {output}' if Path(output).exists() else 'nothing was drawn'))
    return 0


def main():
    options = arguments()
    output = options.output or f'{options.log.removesuffix(".gz")}.png'
    check_writable(output, endings=('.png',))
    if not options.follow:
        return draw(parse_log(options.log), options.log, output)
    if options.log.endswith('.gz'):
        raise LogError(f'{options.log}: a compressed log is not written to, expected a plain one with --follow')
    return follow(options.log, output, options.interval)


if __name__ == '__main__':
    run_command(main)
