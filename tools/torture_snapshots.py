#!/usr/bin/env python3
"""Kill a training with snapshots at random moments, again and again: every snapshot must be whole, every resume work.

After each `kill -9` all .caffemodel and .solverstate files in the folder are read, and the training continues from the
newest state. Ends with status 1 at the first file that is not whole or the first resume that fails.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tqdm import tqdm

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 2 dim: 100 } shape { dim: 2 } data_filler { type: "gaussian" std: 1 } data_filler { value: 1 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
        inner_product_param { num_output: 2000 weight_filler { type: "xavier" } } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 display: 0 max_iter: 1000000000 snapshot: 1
snapshot_prefix: "s" snapshot_format: %s
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=50, help='how often to kill (default: 50)')
    parser.add_argument('--folder', type=Path, help='where to work (default: a temporary folder)')
    parser.add_argument('--seed', type=int, default=0, help='of the random moments (default: 0)')
    parser.add_argument('--gpu', help='train on this GPU (default: on the CPU)')
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix='torture-'))
    folder.mkdir(parents=True, exist_ok=True)
    random.seed(options.seed)
    (folder / 'net.prototxt').write_text(NET)
    seen, last, failure = 0, 0, None
    for kill in tqdm(range(options.kills), unit='kill', disable=None):
        (folder / 'solver.prototxt').write_text(SOLVER % ('HDF5' if kill % 2 else 'BINARYPROTO'))
        failure = train_and_kill(folder, newest_state(folder), options.gpu)
        if failure:
            break
        count, iteration = check(folder)
        seen += count
        if iteration <= last:
            failure = f'the newest state is of iteration {iteration}, before the kill it was {last}'
            break
        last = iteration
        prune(folder)
    if not options.folder:
        shutil.rmtree(folder)
    print(failure or f'{options.kills} kills, {seen} files, all whole; every resume went on, to iteration {last}')
    return bool(failure)


def newest_state(folder):
    """The state of the highest iteration, None at first."""
    states = sorted(folder.glob('s_iter_*.solverstate*'), key=iteration_of)
    return states[-1] if states else None


def iteration_of(path):
    return int(re.search(r'_iter_(\d+)', path.name)[1])


def train_and_kill(folder, state, gpu=None):
    """Train from `state`, kill at a random moment after a few snapshots; what went wrong, or None."""
    command = [sys.executable, '-m', 'caffe', 'train', '-solver', 'solver.prototxt']
    command += [] if gpu is None else ['-gpu', gpu]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'GLOG_minloglevel': '0'}
    process = subprocess.Popen(
        command + (['-snapshot', state.name] if state else []),
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines, wanted = [], random.randint(2, 4)
    for line in process.stderr:
        lines.append(line)
        wanted -= 'Snapshotting solver state' in line
        if not wanted:
            break
    else:
        return f'the training ended by itself: {lines[-1:]}'
    # it must not wait for somebody to read its log
    threading.Thread(target=process.stderr.read, daemon=True).start()
    time.sleep(random.uniform(0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return None


def check(folder):
    """Read every snapshot: (how many files, the newest state's iteration). Raises CaffeError for one not whole."""
    import caffe
    from caffe.solvers import state_files

    caffe.init_log(2)
    os.chdir(folder)
    solver = caffe.get_solver('solver.prototxt')
    weights = list(folder.glob('s_iter_*.caffemodel*'))
    states = list(folder.glob('s_iter_*.solverstate*'))
    for path in weights:
        solver.net.copy_from(str(path))
    for path in states:
        iteration, _, learned, *_ = state_files.read_state(str(path))
        solver.restore(str(path))
        assert iteration == iteration_of(path) == solver.iter and Path(learned).name.startswith(f's_iter_{iteration}.')
    return len(weights) + len(states), max(map(iteration_of, states))


def prune(folder):
    """Remove all but the newest snapshot, and what kills left of files in the making."""
    newest = iteration_of(newest_state(folder))
    for path in folder.glob('s_iter_*'):
        if iteration_of(path) != newest:
            path.unlink()
    for path in folder.glob('.s_iter_*'):
        path.unlink()


if __name__ == '__main__':
    sys.exit(main())
