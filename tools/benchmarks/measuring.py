"""How the benchmarks measure: contenders by turns, and what machine it was."""

import os
import platform
import time
from pathlib import Path

import cv2
import numpy as np
import torch


def differences(contenders):
    """{contender: largest difference of its output from the reference's, as a share of that one's largest value}.

    The reference is PyTorch's module where it competes, the engine otherwise. Contenders are functions that give arrays
    of one size; what is no number in an output makes its difference none.
    """
    outputs = {who: np.array(run()).reshape(-1) for who, run in contenders.items()}
    reference = outputs.get('torch', outputs['caffe'])
    return {who: float(np.abs(y - reference).max() / np.abs(reference).max()) for who, y in outputs.items()}


def take_turns(contenders, seconds):
    """({contender: best wall ms}, {contender: median CPU ms}) of rounds for about `seconds`, at least five."""
    wall, cpu = ({who: [] for who in contenders} for _ in range(2))
    end = time.monotonic() + seconds
    order = list(contenders)
    while time.monotonic() < end or len(wall[order[0]]) < 5:
        for who in order:
            # once without counting: what the one before left in the caches is nobody's merit
            if wall[who] and wall[who][-1] < 50:
                contenders[who]()
            began, used = time.perf_counter(), time.process_time()
            contenders[who]()
            wall[who].append((time.perf_counter() - began) * 1e3)
            cpu[who].append((time.process_time() - used) * 1e3)
        order.reverse()
    return {w: float(np.min(t)) for w, t in wall.items()}, {w: float(np.median(t)) for w, t in cpu.items()}


def machine(threads, device):
    cpu = platform.processor() or platform.machine()
    if Path('/proc/cpuinfo').is_file():
        lines = [
            text.split(':')[1].strip()
            for text in Path('/proc/cpuinfo').read_text().splitlines()
            if text.startswith('model name')
        ]
        cpu = lines[0] if lines else cpu
    gpu = {} if device.type == 'cpu' else {'gpu': torch.cuda.get_device_name(device), 'cuda': torch.version.cuda}
    return {
        **gpu,
        'cpu': cpu,
        'cores': os.cpu_count(),
        'threads': threads,
        'load': os.getloadavg()[0],
        'capability': torch.backends.cpu.get_cpu_capability(),
        'torch': torch.__version__,
        'opencv': cv2.__version__,
        'python': platform.python_version(),
        'system': platform.platform(),
    }
