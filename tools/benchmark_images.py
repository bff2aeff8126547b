#!/usr/bin/env python3
"""Pictures per second that ImageData and Data over LMDB decode and transform, per core, against a loop over OpenCV.

The loop does what the layers do (read, decode, mirror, subtract the mean, scale, to C x H x W floats in a batch) in one
thread; the engine's layers run with one worker thread, so both use one core, by turns. Then the rate that a GPU wants:
its sustained operations per second over those of a training step, 6 for each multiply-accumulate of a picture's
forward (2 forward, 4 backward), and how many cores give that rate.

With --feed nothing is compared: a net takes batches at the rate of such a GPU in a host of --host-cores cores, as many
pictures for each core as it has here; between them it sleeps, as a host whose GPU computes. Printed are the share of
the time that it waited for a batch that was not ready; how long a forward of the data layer takes with a batch that
surely is ready, at the median, at the 99th percentile and at most (ms); how many times as long a net of forty tiny
layers takes for a pass when its process is fed at that rate; and the rate without any sleep. With --train the same is
asked of `caffe train`: the times between the iterations in its log, with the data layer and with none.
"""

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault('GLOG_minloglevel', '2')
os.environ.update(CAFFE_DATA_WORKERS='1', CAFFE_DATA_PROCESSES='0')

import cv2
import numpy as np
import torch
from benchmarks.feeding import feed, train
from benchmarks.pictures import (
    BATCH,
    HEIGHT,
    LAYERS,
    MEAN,
    SCALE,
    WIDTH,
    macs_of,
    make_pictures,
    source,
    wanted_rate,
)
from sphereslim.commands.arguments.parser import command_parser
from sphereslim.commands.arguments.values import positive, whole
from sphereslim.commands.ending import run_command
from sphereslim.report.text_tables import text_table

from caffe.cli.malloc import keep_freed_memory

BATCHES = 4  # a turn
NETS = ('sphereface-4', 'sphereface-20', 'sphereface-64')


def main():
    args = parse_arguments()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_pictures(Path(folder), args.pictures)
        if args.feed or args.train:
            keep_freed_memory()  # as the command does
            if args.feed:
                feed(folder, paths, args)
            else:
                train(folder, args)
            return
        loop = opencv_loop(paths)
        rows = [compare(kind, source(kind, folder), loop, args.seconds) for kind in LAYERS]
    print(
        text_table(
            ['source', 'pictures/s a core', 'OpenCV loop', 'ratio'],
            [[kind, f'{ours:.0f}', f'{theirs:.0f}', f'{ours / theirs:.2f}'] for kind, ours, theirs in rows],
        )
    )
    print()
    print(
        text_table(
            ['network', 'MMACs', f'pictures/s at {args.tflops:g} TFLOP/s', *(f'cores, {r[0]}' for r in rows)],
            [demand(name, args.tflops, rows) for name in NETS],
        )
    )


def demand(name, tflops, rows):
    """What a GPU with that many sustained TFLOP/s takes in training, and the cores that feed it, projected."""
    wanted = wanted_rate(name, tflops)
    return [name, f'{macs_of(name) / 1e6:.0f}', f'{wanted:.0f}', *(f'{wanted / ours:.1f}' for _, ours, _ in rows)]


def compare(kind, next_batch, loop, seconds):
    """(kind, pictures/s of the layer, of the loop): the best CPU time a picture, by turns."""
    ours, theirs = [], []
    next_batch()
    settle()
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(ours) < 5:
        for times, run in ((ours, next_batch), (theirs, loop)):
            began = time.process_time()
            for _ in range(BATCHES):
                run()
            settle()
            times.append((time.process_time() - began) / BATCHES / BATCH)
    return kind, 1 / min(ours), 1 / min(theirs)


def settle():
    """Wait until the worker has read ahead as far as it does, so that each turn pays for the batches that it took."""
    while True:
        before = time.process_time()
        time.sleep(0.05)
        if time.process_time() - before < 0.002:
            return


def opencv_loop(paths):
    """A function that makes one batch the way one would with OpenCV and numpy."""
    rng, position = np.random.default_rng(0), 0

    def batch():
        nonlocal position
        data = np.empty((BATCH, 3, HEIGHT, WIDTH), np.float32)
        for i in range(BATCH):
            image = cv2.imread(paths[position % len(paths)])
            position += 1
            if rng.integers(2):
                image = cv2.flip(image, 1)
            data[i] = ((image.astype(np.float32) - MEAN) * SCALE).transpose(2, 0, 1)
        return data

    return batch


def parse_arguments():
    parser = command_parser(__doc__)
    parser.add_argument('--pictures', type=whole, default=512, help='pictures to make, 112x96 JPEG (default 512)')
    parser.add_argument(
        '--seconds', type=positive, default=5, help='how long to measure each source, about (default 5)'
    )
    parser.add_argument(
        '--tflops',
        type=positive,
        default=30,
        help='what the GPU sustains; an H100 has 67 TFLOP/s in float32 by its data sheet, of which '
        'convolutions without TF32 reach about half (default 30)',
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--feed', action='store_true', help='how long a net that takes what a GPU takes waits for data')
    what.add_argument('--train', action='store_true', help='how long the iterations of `caffe train` are that is fed')
    parser.add_argument(
        '--host-cores', type=whole, default=16, help='cores that feed one GPU in --feed and --train (default 16)'
    )
    return parser.parse_args()


if __name__ == '__main__':
    run_command(main)
