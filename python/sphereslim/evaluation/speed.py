"""How long nets take, measured in turns so that a busy machine slows them alike: here, or by `caffe time`."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np

from sphereslim.engine import caffe, caffe_command
from sphereslim.errors import SlimError
from sphereslim.files import read_json, write_json
from sphereslim.logs.lines import reason_of
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import load_net
from sphereslim.net.prototxt import read_net, write_prototxt

T = TypeVar('T')
_PASS = re.compile(r'Average (Forward|Backward) pass: ([\d.e+-]+) ms')


def forward_milliseconds(
    models: Iterable[tuple[str | Path, str | Path]],
    batch: int = 16,
    rounds: int = 40,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[list[float]]:
    """Milliseconds per image in each of `rounds`, a list for each (deploy prototxt, caffemodel) in `models`.

    Batches of random pictures. What one round holds was measured within moments, so that on a busy machine the ratio
    of two nets is steadier round by round than that of their medians or of their best times.
    """
    nets = [_ready(deploy, weights, batch) for deploy, weights in models]
    times: list[list[float]] = [[] for _ in nets]
    for _ in progress(range(rounds)):
        for net, taken in zip(nets, times):
            net.forward()  # untimed: the net before has filled the caches with its own weights
            start = time.perf_counter()
            net.forward()
            taken.append((time.perf_counter() - start) * 1000 / batch)
    return times


def speed_ratio(original: Sequence[float], times: Sequence[float]) -> tuple[float, ...]:
    """(median, lower and upper quartile) of how many times faster `times` are than `original`, round by round."""
    ratios = np.array(original) / np.array(times)
    return tuple(float(value) for value in np.quantile(ratios, [0.5, 0.25, 0.75]))


def _ready(deploy: str | Path, weights: str | Path, batch: int) -> caffe.Net:
    net = load_net(deploy, weights)
    data = net.blobs[net.inputs[0]]
    data.reshape(batch, *data.data.shape[1:])
    net.reshape()
    data.data[...] = np.random.default_rng(0).standard_normal(data.data.shape)
    net.forward()
    return net


def caffe_times(
    deploys: Sequence[str | Path],
    batch: int = 16,
    iterations: int = 3,
    rounds: int = 3,
    gpu: str | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[dict[str, float]]:
    """[{'forward': ms, 'backward': ms}] per image of deploy prototxts, medians over `rounds` of `caffe time`.

    The nets run on batches of `batch` and backward down to their input. `progress` wraps the list of measurements.
    """
    found: list[list[dict[str, float]]] = [[] for _ in deploys]
    with tempfile.TemporaryDirectory() as folder:
        paths = [_batched(deploy, Path(folder, f'{number}.prototxt'), batch) for number, deploy in enumerate(deploys)]
        for number in progress([n for _ in range(rounds) for n in range(len(paths))]):
            found[number].append(_measure(paths[number], deploys[number], iterations, gpu))
    return [{name: median(times[name] for times in own) / batch for name in ('forward', 'backward')} for own in found]


def kept_times(path: str | Path, names: Sequence[str], measure: Callable[[], Sequence[T]]) -> dict[str, T]:
    """{name: its times} as the JSON file `path` holds them, or as `measure` gives them in the order of `names`.

    Times of nets that were not measured in turns cannot be compared, so that one more net measures all of them again.
    """
    known = read_json(path) if Path(path).is_file() else {}
    if set(known) != set(names):
        known = dict(zip(names, measure()))
        write_json(path, known)
    return known


def _batched(deploy: str | Path, path: Path, batch: int) -> Path:
    net = copy_of(read_net(deploy))
    for layer in net.layer:
        if layer.type == 'Input':
            layer.input_param.shape[0].dim[0] = batch
    net.force_backward = True
    write_prototxt(path, net)
    return path


def _measure(path: Path, deploy: str | Path, iterations: int, gpu: str | None) -> dict[str, float]:
    command = [*caffe_command(), 'time', f'--model={path}', f'--iterations={iterations}', '--phase=TEST']
    command += [f'--gpu={gpu}'] if gpu is not None else []
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, 'GLOG_logtostderr': '1', 'GLOG_minloglevel': '0'}
    )
    times = {name.lower(): float(value) for name, value in _PASS.findall(done.stderr)}
    if done.returncode or len(times) < 2:
        raise SlimError(f'{deploy}: caffe time failed: {reason_of(done.stderr)}')
    return times
