#!/usr/bin/env python3
"""Pictures per second that ImageData and Data over LMDB decode and transform, per core, against a loop over OpenCV.

The loop does what the layers do (read, decode, mirror, subtract the mean, scale, to C x H x W floats in a batch) in one
thread; the engine's layers run with one worker thread, so both use one core, by turns. Then the rate that a GPU wants:
its sustained operations per second over those of a training step, 6 for each multiply-accumulate of a picture's
forward (2 forward, 4 backward), and how many cores give that rate.

With --feed nothing is compared: a net takes batches at the rate of such a GPU in a host of --host-cores cores, as many
pictures for each core that there is here; between them it sleeps, as a host whose GPU computes. Printed is the share of
the time that it waited for the data layer, and the rate without any sleep.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault('GLOG_minloglevel', '2')
os.environ['CAFFE_DATA_WORKERS'] = '1'
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'python'))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from sphereslim.command import run_command  # noqa: E402
from sphereslim.engine import caffe, caffe_pb2  # noqa: E402
from sphereslim.tables import text_table  # noqa: E402

BATCH, HEIGHT, WIDTH = 64, 112, 96
BATCHES = 4  # a turn
MEAN, SCALE = 127.5, 0.0078125
NETS = ('sphereface-4', 'sphereface-20', 'sphereface-64')
TRANSFORM = f'transform_param {{ scale: {SCALE} mirror: true mean_value: {MEAN} }}'
NET = {
    'ImageData': 'layer {{ name: "data" type: "ImageData" top: "data" top: "label" {transform} image_data_param '
                 '{{ source: "{folder}/list.txt" batch_size: {batch} }} }}',
    'LMDB': 'layer {{ name: "data" type: "Data" top: "data" top: "label" {transform} data_param '
            '{{ source: "{folder}/raw" backend: LMDB batch_size: {batch} }} }}',
    'LMDB, encoded': 'layer {{ name: "data" type: "Data" top: "data" top: "label" {transform} data_param '
                     '{{ source: "{folder}/encoded" backend: LMDB batch_size: {batch} }} }}',
}


def main():
    args = parse_arguments()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_pictures(Path(folder), args.pictures)
        if args.feed:
            feed(folder, args)
            return
        loop = opencv_loop(paths)
        rows = [compare(kind, source(kind, folder), loop, args.seconds) for kind in NET]
    print(text_table(['source', 'pictures/s a core', 'OpenCV loop', 'ratio'],
                     [[kind, f'{ours:.0f}', f'{theirs:.0f}', f'{ours / theirs:.2f}'] for kind, ours, theirs in rows]))
    print()
    print(text_table(['network', 'MMACs', f'pictures/s at {args.tflops:g} TFLOP/s', *(f'cores, {r[0]}' for r in rows)],
                     [demand(name, args.tflops, rows) for name in NETS]))


def demand(name, tflops, rows):
    """What a GPU with that many sustained TFLOP/s takes in training, and the cores that feed it, projected."""
    macs = macs_of(name)
    wanted = tflops * 1e12 / (6 * macs)
    return [name, f'{macs / 1e6:.0f}', f'{wanted:.0f}', *(f'{wanted / ours:.1f}' for _, ours, _ in rows)]


def feed(folder, args):
    """Print how long a net waits for its data layer that takes what a GPU takes, with one core and with all allowed."""
    cores = sorted(os.sched_getaffinity(0))
    rows = []
    for kind in NET:
        alone = None
        for count in sorted({1, len(cores)}):
            os.sched_setaffinity(0, cores[:count])
            os.environ['CAFFE_DATA_WORKERS'] = str(count)
            next_batch = source(kind, folder)
            _, fastest = take(next_batch, 0, args.seconds)
            alone = alone or fastest
            for name in NETS:
                wanted = args.tflops * 1e12 / (6 * macs_of(name)) * count / args.host_cores
                waited, taken = take(next_batch, BATCH / wanted, args.seconds)
                rows.append([kind, name, count, f'{wanted:.0f}', f'{taken:.0f}', f'{100 * waited:.2f}',
                             f'{fastest:.0f}', f'{fastest / alone / count:.2f}'])
    print(f'{args.tflops:g} TFLOP/s, {args.host_cores} cores a GPU, batches of {BATCH}')
    print(text_table(['source', 'network', 'cores', 'wanted/s', 'taken/s', 'waiting %', 'at most/s', 'scaling'], rows))


def take(next_batch, period, seconds):
    """(share of the time spent in the data layer, pictures/s) of taking a batch every `period` seconds."""
    for _ in range(2):
        next_batch()
    time.sleep(period)
    began = due = time.perf_counter()
    waited, batches = 0.0, 0
    while batches < 5 or time.perf_counter() - began < seconds:
        asked = time.perf_counter()
        next_batch()
        waited += time.perf_counter() - asked
        batches += 1
        due += period
        time.sleep(max(0, due - time.perf_counter()))
    total = time.perf_counter() - began
    return waited / total, batches * BATCH / total


def macs_of(name):
    """Multiply-accumulates of a forward of one picture."""
    path = Path(__file__).resolve().parent.parent / 'prototxt' / name / 'deploy.prototxt'
    net = caffe.Net(str(path), caffe.TEST)
    total = 0
    for layer, blobs in net.params.items():
        if net.layer_dict[layer].type in ('Convolution', 'InnerProduct'):
            places = np.prod(net.blobs[net.top_names[layer][0]].data.shape[2:], dtype=int)
            total += blobs[0].data.size * int(places)
    return total / net.blobs[net.inputs[0]].data.shape[0]


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


def source(kind, folder):
    """A function that runs the data layer once."""
    path = Path(folder) / 'net.prototxt'
    path.write_text(NET[kind].format(folder=folder, batch=BATCH, transform=TRANSFORM))
    net = caffe.Net(str(path), caffe.TRAIN)
    return lambda: net.forward()


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


def make_pictures(folder, count):
    """JPEG files with the detail of photographs, a list of them, and LMDBs of them raw and encoded; their paths."""
    import lmdb
    rng, paths, encoded, raw = np.random.default_rng(0), [], [], []
    for i in range(count):
        noise = rng.integers(0, 256, (14, 12, 3), dtype=np.uint8)
        image = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        paths.append(str(folder / f'{i}.jpg'))
        cv2.imwrite(paths[-1], image)
        encoded.append(caffe_pb2.Datum(data=Path(paths[-1]).read_bytes(), encoded=True, label=i))
        raw.append(caffe_pb2.Datum(channels=3, height=HEIGHT, width=WIDTH, label=i,
                                   data=cv2.imread(paths[-1]).transpose(2, 0, 1).tobytes()))
    (folder / 'list.txt').write_text(''.join(f'{path} {i}\n' for i, path in enumerate(paths)))
    for name, items in (('raw', raw), ('encoded', encoded)):
        with lmdb.open(str(folder / name), map_size=1 << 30) as database, database.begin(write=True) as write:
            for i, datum in enumerate(items):
                write.put(f'{i:08d}'.encode(), datum.SerializeToString())
    return paths


def parse_arguments():
    start, end = __doc__.split('\n\n', 1)
    parser = argparse.ArgumentParser(description=start, epilog=end,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--pictures', type=int, default=512, help='pictures to make (112x96 JPEG)')
    parser.add_argument('--seconds', type=float, default=5, help='how long to measure each source, about')
    parser.add_argument('--tflops', type=float, default=30,
                        help='what the GPU sustains; an H100 has 67 TFLOP/s in float32 by its data sheet, of which '
                             'convolutions without TF32 reach about half')
    parser.add_argument('--feed', action='store_true', help='how long a net that takes what a GPU takes waits for data')
    parser.add_argument('--host-cores', type=int, default=16, help='cores that feed one GPU (--feed)')
    args = parser.parse_args()
    if min(args.pictures, args.host_cores) < 1 or args.seconds <= 0 or args.tflops <= 0:
        parser.error('expected pictures and cores of at least 1, seconds and tflops above 0')
    return args


if __name__ == '__main__':
    run_command(main)
