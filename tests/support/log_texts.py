"""Text of training logs, and what tests of logs do with it."""

import subprocess
import sys

import numpy as np
import pytest
from repository import ROOT, SHARED
from sphereslim.logs import LogParser
from sphereslim.logs.compare.lambda_schedule import formula
from sphereslim.logs.compare.lr_schedule import expected_rate
from sphereslim.logs.curves import Curve

LOGS = SHARED / 'published' / 'logs'

HEAD = {'base': 1000.0, 'gamma': 0.12, 'power': 1.0, 'lambda_min': 5.0, 'iteration': 0.0}

SOLVER = {'base_lr': '0.1', 'gamma': '0.1', 'lr_policy': '"multistep"', 'max_iter': '300', 'stepvalue': '150'}


def shared(path):
    if not path.exists():
        pytest.skip(f'{path} is not here')
    return path


def feed(text):
    parser = LogParser('a.log')
    for line in text.splitlines():
        parser.feed(line)
    return parser.finish()


def stamp(second, thread=7, date='0102'):
    return f'I{date} 10:{second // 60:02}:{second % 60:02}.500000 {thread} solver.cpp:218] '


def header(solver=SOLVER, head=HEAD, thread=7, name='net'):
    prefix = stamp(0, thread)
    lines = [
        f'{prefix}Initializing solver from parameters: ',
        *[f'{key}: {value}' for key, value in solver.items()],
        f'{prefix}Creating training net from net file: x',
        f'{prefix}Initializing net from parameters: ',
        f'name: "{name}"',
    ]
    if head:
        lines += [
            'layer {',
            '  name: "ip"',
            '  type: "MarginInnerProduct"',
            '  top: "logits"',
            '  top: "mix"',
            '  margin_inner_product_param {',
            *[f'    {key}: {value:g}' for key, value in head.items()],
            '  }',
            '}',
        ]
    return [*lines, f'{prefix}layer_factory.hpp:77] Creating layer data']


def training(first=0, last=300, every=10, head=HEAD, solver=SOLVER, count=lambda n: n + 1, thread=7, **kwargs):
    """Lines of a whole training whose loss falls from 9 to 4; `count` says which forward lambda is shown of."""
    lines = header(solver, head, thread, **kwargs)
    for place, n in enumerate(range(first, last, every)):
        at = stamp(1 + place, thread)
        loss = 4 + 5 * np.exp(-n / 100)
        lines += [
            f'{at}Iteration {n} (9.9 iter/s, 1.01s/10 iters), loss = {loss:.6g}',
            f'{at}    Train net output #0: mix = {formula(HEAD, count(n)):.6g}',
            f'{at}    Train net output #1: sl = {loss:.6g} (* 1 = {loss:.6g} loss)',
            f'{at}Iteration {n}, lr = {expected_rate(parsed(solver), n):g}',
        ]
    return lines


def parsed(solver):
    return {key: value.strip('"').split() for key, value in solver.items()}


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def noisy(seed, level=0.0, count=400, sigma=0.3, every=10):
    n = np.arange(count) * every
    value = 4 + 5 * np.exp(-n / (every * count / 4)) + level
    return Curve('loss', n, value + np.random.default_rng(seed).normal(0, sigma, count))


def command(tool, *words):
    return subprocess.run([sys.executable, ROOT / 'tools' / tool, *map(str, words)], capture_output=True, text=True)
