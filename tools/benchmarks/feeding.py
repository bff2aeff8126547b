"""How long nets wait for their data layer at the rate that a GPU wants: in this process, and in `caffe train`."""

import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
from sphereslim.engine import caffe
from sphereslim.logs.lines import Clock, messages
from sphereslim.report.text_tables import text_table

from benchmarks.pictures import BATCH, LAYERS, layer_text, source, wanted_rate

NETWORK = 'sphereface-4'  # of those with published weights the one that takes most pictures
WORKERS = {'threads': '0', 'processes': '1'}
FEWEST = 20  # iterations of a training

# Forty layers that compute next to nothing, as those of a net whose work a GPU does: what they take is what Python and
# PyTorch take to start the work.
LAUNCHES = ''.join(
    f"""
layer {{ name: "ip{i}" type: "InnerProduct" bottom: "x{i}" top: "x{i + 1}"
        inner_product_param {{ num_output: 16 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu{i}" type: "ReLU" bottom: "x{i + 1}" top: "x{i + 1}" }}"""
    for i in range(20)
)

GPU = '''
import time
import caffe

class Gpu(caffe.Layer):
    """Lets the time pass that a GPU computes, without the interpreter; its top is what the small layers take."""
    def setup(self, bottom, top):
        self.seconds = float(self.param_str)
    def reshape(self, bottom, top):
        top[0].reshape(8, 16)
    def forward(self, bottom, top):
        time.sleep(self.seconds)
    def backward(self, top, propagate_down, bottom):
        pass
'''

NOTHING = f"""layer {{ name: "data" type: "DummyData" top: "data" top: "label"
dummy_data_param {{ shape {{ dim: {BATCH} dim: 3 dim: 112 dim: 96 }} shape {{ dim: {BATCH} }} }} }}"""


def feed(folder, paths, args):
    """Print what a net that takes batches at the rate of a GPU waits for, and what it costs the net's own work."""
    rows = [
        [kind, workers, cores, *take(kind, folder, args, workers, cores)]
        for kind in LAYERS
        for workers in WORKERS
        for cores in allowed()
    ]
    print(f'{NETWORK} at {args.tflops:g} TFLOP/s, {args.host_cores} cores a GPU, batches of {BATCH}')
    print(
        text_table(
            [
                'source',
                'workers',
                'cores',
                'wanted/s',
                'taken/s',
                'waiting %',
                'ready ms',
                'p50',
                'p99',
                'longest',
                'launches',
                'at most/s',
            ],
            rows,
            left=2,
        )
    )
    warm, cold = (once(folder, paths, drop) for drop in (False, True))
    print(
        f'ImageData, all {len(paths)} pictures once, {len(os.sched_getaffinity(0))} processes: {warm:.0f}/s; '
        f'{cold:.0f}/s when their files were dropped from the page cache before'
    )


def once(folder, paths, drop):
    """Pictures/s of reading each once, from the start of the workers on."""
    cores = len(os.sched_getaffinity(0))
    os.environ.update(CAFFE_DATA_PROCESSES=WORKERS['processes'], CAFFE_DATA_WORKERS=str(cores))
    next_batch = source('ImageData', folder)
    for path in paths if drop else ():
        with open(path, 'rb') as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.perf_counter()
    count = max(1, len(paths) // BATCH)
    for _ in range(count):
        next_batch()
    return count * BATCH / (time.perf_counter() - began)


def allowed():
    """Give this process 1, 2, 4, … of the cores that it was started with, and yield how many."""
    cores = sorted(os.sched_getaffinity(0))
    try:
        for count in sorted({1, *(n for n in (2, 4, 8, 16) if n < len(cores)), len(cores)}):
            os.sched_setaffinity(0, cores[:count])
            yield count
    finally:
        os.sched_setaffinity(0, cores)


def take(kind, folder, args, workers, cores):
    """The figures of one row of `feed`."""
    wanted = wanted_rate(NETWORK, args.tflops) * cores / args.host_cores
    os.environ.update(CAFFE_DATA_PROCESSES=WORKERS[workers], CAFFE_DATA_WORKERS=str(cores))
    next_batch = source(kind, folder)
    most = forwards(next_batch, 0, args.seconds)[1]
    ready = np.median(forwards(next_batch, 0.15, min(1.5, args.seconds))[0])
    waits, taken = forwards(next_batch, BATCH / wanted, args.seconds)
    slowdown = launching(next_batch, BATCH / wanted, args.seconds, folder)
    waiting = np.maximum(waits - ready, 0).sum() / (len(waits) * BATCH / taken)
    return [
        f'{wanted:.0f}',
        f'{taken:.0f}',
        f'{100 * waiting:.2f}',
        *milliseconds(ready, waits),
        f'{slowdown:.2f}',
        f'{most:.0f}',
    ]


def milliseconds(ready, waits):
    return [f'{1e3 * value:.2f}' for value in (ready, *np.quantile(waits, (0.5, 0.99)), waits.max())]


def forwards(next_batch, period, seconds):
    """(seconds of each forward of the data layer, pictures/s) when one is made every `period` seconds."""
    for _ in range(2):
        next_batch()
    time.sleep(period)
    began = due = time.perf_counter()
    waits = []
    while len(waits) < 5 or time.perf_counter() - began < seconds:
        asked = time.perf_counter()
        next_batch()
        waits.append(time.perf_counter() - asked)
        due += period
        time.sleep(max(0, due - time.perf_counter()))
    return np.array(waits), len(waits) * BATCH / (time.perf_counter() - began)


def launching(next_batch, period, seconds, folder):
    """How many times as long a pass through tiny layers takes in a process that is fed at that rate as in an idle one.

    The time in the data layer's own forward is not counted.
    """
    path = Path(folder) / 'launches.prototxt'
    path.write_text(
        'force_backward: true layer { name: "in" type: "Input" top: "x0" input_param '
        '{ shape { dim: 8 dim: 16 } } }' + LAUNCHES
    )
    net = caffe.Net(str(path), caffe.TRAIN)
    time.sleep(0.3)
    idle = [passes(net, lambda: None, seconds / 2, seconds / 2)]
    fed = passes(net, next_batch, period, seconds)
    time.sleep(0.3)
    idle.append(passes(net, lambda: None, seconds / 2, seconds / 2))
    return fed / min(idle)


def passes(net, every_period, period, seconds):
    """Seconds of a pass, on average."""
    began = due = time.perf_counter()
    busy, count = 0.0, 0
    while time.perf_counter() - began < seconds or not count:
        if time.perf_counter() >= due:
            every_period()
            due += period
        start = time.perf_counter()
        net.forward()
        net.backward()
        busy += time.perf_counter() - start
        count += 1
    return busy / count


def train(folder, args):
    """Print how long the iterations of `caffe train` are, by its log, with a data layer and with none."""
    rows = []
    for cores in allowed():
        os.environ['CAFFE_DATA_WORKERS'] = str(cores)
        period = BATCH / (wanted_rate(NETWORK, args.tflops) * cores / args.host_cores)
        count = max(FEWEST, int(args.seconds / period))
        # what an iteration takes beside the sleep, which lets the caches forget
        beside = np.median(iterations(NOTHING, period / 2, count, folder)) - period / 2
        seconds = max(0, period - beside)
        alone = iterations(NOTHING, seconds, count, folder)
        rows.append(['nothing', '', cores, f'{BATCH / period:.0f}', *row(alone, alone)])
        for kind, workers in product(LAYERS, WORKERS):
            os.environ['CAFFE_DATA_PROCESSES'] = WORKERS[workers]
            fed = iterations(layer_text(kind, folder), seconds, count, folder)
            rows.append([kind, workers, cores, f'{BATCH / period:.0f}', *row(fed, alone)])
    print(f'caffe train at the rate of {NETWORK} at {args.tflops:g} TFLOP/s, {args.host_cores} cores a GPU')
    print(
        text_table(
            ['source', 'workers', 'cores', 'wanted/s', 'taken/s', 'mean ms', 'p50', 'p99', 'longest', 'stall %'],
            rows,
            left=2,
        )
    )


def row(times, alone):
    lost = 1 - alone.mean() / times.mean()
    return [
        f'{BATCH / times.mean():.0f}',
        *(f'{1e3 * v:.2f}' for v in (times.mean(), *np.quantile(times, (0.5, 0.99)), times.max())),
        f'{100 * lost:.2f}',
    ]


def iterations(data, seconds, count, folder):
    """The seconds of each of `count` iterations of a training whose GPU computes for `seconds`.

    The first ones, in which workers start, are left out.
    """
    folder = Path(folder)
    (folder / 'gpu.py').write_text(GPU)
    (folder / 'train.prototxt').write_text(
        data
        + f'''
layer {{ name: "gpu" type: "Python" bottom: "data" top: "x0"
        python_param {{ module: "gpu" layer: "Gpu" param_str: "{seconds}" }} }} {LAUNCHES}
layer {{ name: "loss" type: "Reduction" bottom: "x20" top: "loss" loss_weight: 1 }}
layer {{ name: "labels" type: "Silence" bottom: "label" }}'''
    )
    (folder / 'solver.prototxt').write_text(
        f'net: "{folder}/train.prototxt" base_lr: 0.0001 lr_policy: "fixed" momentum: 0.9 display: 1 '
        f'max_iter: {count + FEWEST // 2} snapshot_after_train: false snapshot_prefix: "{folder}/out"'
    )
    done = subprocess.run(
        [sys.executable, '-m', 'caffe', 'train', '--solver', folder / 'solver.prototxt'],
        text=True,
        env={
            **os.environ,
            'PYTHONPATH': os.pathsep.join([str(folder), *sys.path]),
            'GLOG_minloglevel': '0',
            'OMP_NUM_THREADS': '1',
        },
        capture_output=True,
    )
    if done.returncode:
        raise SystemExit(f'caffe train ended with {done.returncode}: {done.stderr.splitlines()[-1]}')
    clock = Clock()
    logged = [message for line in done.stderr.splitlines() for message in messages(line, clock)]
    times = [message.time for message in logged if message.text.startswith('Iteration') and 'iter/s' in message.text]
    return np.diff(times)[FEWEST // 2 :]
