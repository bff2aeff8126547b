"""Helpers for tests that run `caffe train` as a command: a small net on random data in a folder."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np

COMMAND = [sys.executable, '-m', 'caffe']
# the smallest start-up and no threads to compete for, since several processes run at once
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1', 'CAFFE_DATA_WORKERS': '1', 'GLOG_minloglevel': '0'}

NET = """
name: "small"
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
        hdf5_data_param { source: "files.txt" batch_size: 4 shuffle: true } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
        inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001 display: 1 max_iter: 6
snapshot_prefix: "out" random_seed: 3
"""

IMAGES = NET.replace('"HDF5Data"', '"ImageData"').replace(
    'hdf5_data_param { source: "files.txt" batch_size: 4 shuffle: true }',
    'image_data_param { source: "list.txt" batch_size: 4 }',
)


def write_run(folder, net=NET, solver=SOLVER, rows=40):
    """Put net.prototxt, solver.prototxt and 40 rows of data into `folder`."""
    values = np.random.default_rng(0)
    with h5py.File(folder / 'rows.h5', 'w') as file:
        file['data'] = values.standard_normal((rows, 5)).astype('f')
        file['label'] = values.integers(0, 3, rows).astype('f')
    Path(folder / 'files.txt').write_text('rows.h5\n')
    Path(folder / 'net.prototxt').write_text(net)
    Path(folder / 'solver.prototxt').write_text(solver)


def write_pictures(folder, solver=SOLVER, net=IMAGES):
    """Put a net on a list of 8 pictures, a solver and the pictures into `folder`."""
    write_run(folder, net, solver)
    for i in range(8):
        cv2.imwrite(str(folder / f'{i}.png'), np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8))
    (folder / 'list.txt').write_text(''.join(f'{i}.png {i % 3}\n' for i in range(8)))


def caffe_command(folder, *arguments):
    """Run the `caffe` command in `folder`: the CompletedProcess with text output."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
