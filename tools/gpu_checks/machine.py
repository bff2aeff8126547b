"""What machine it is, and which packages it lacks."""

import os
from importlib.util import find_spec

import torch
from benchmarks.measuring import machine

from gpu_checks.check import Check

# what the engine, the workflow, its tests and these checks use where it is there
PACKAGES = ('cv2', 'google.protobuf', 'h5py', 'hypothesis', 'lmdb', 'matplotlib', 'mtcnn', 'onnx', 'onnxruntime')
PACKAGES += ('plyvel', 'pydot', 'pytest', 'scipy', 'skimage', 'tqdm', 'triton')


def run(check: Check) -> None:
    for name, value in machine(torch.get_num_threads(), check.choose()).items():
        check.figure(name, value)
    if check.device == 'cuda':
        free, total = torch.cuda.mem_get_info()
        check.figure('GPU memory, GiB', {'free': free / 2**30, 'in all': total / 2**30})
        check.figure('cudnn', torch.backends.cudnn.version())
    check.figure('cores of this process', len(os.sched_getaffinity(0)))
    for name in PACKAGES:
        if not _is_there(name):
            check.pass_over(name, 'the package is not installed')


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package above it
        return False
