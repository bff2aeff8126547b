"""Helpers for tests that run `caffe train` as a command: a small net on random data in a folder."""

import os
import subprocess
import sys

import cv2
import numpy as np
from fuzzing.small_run import NET, SOLVER, write_run

COMMAND = [sys.executable, '-m', 'caffe']
# the smallest start-up and no threads to compete for, since several processes run at once
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1', 'CAFFE_DATA_WORKERS': '1', 'GLOG_minloglevel': '0'}

IMAGES = NET.replace('"HDF5Data"', '"ImageData"').replace(
    'hdf5_data_param { source: "files.txt" batch_size: 4 shuffle: true }',
    'image_data_param { source: "list.txt" batch_size: 4 }',
)


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
