"""Rows of speed: the engine and PyTorch's modules by turns, in every precision."""

import gc
from collections.abc import Callable, Sequence

import numpy as np
import torch
from benchmarks.measuring import take_turns
from benchmarks.nets import MOBILE
from benchmarks.peers import Skipped, inference, training
from sphereslim.engine import caffe

from caffe.blobs.memory_format import set_gpu_channels_last
from gpu_checks.check import Check

PRECISIONS = ('fp32', 'tf32', 'bf16')
# VGG-16 with its large pictures takes as long as all the others, and comes last
NETWORKS = ('sphereface-20', 'sphereface-4', MOBILE, 'sphereface-64', 'vgg16')
ROWS = [(name, batch) for name in NETWORKS for batch in (32, 256)]
TINY = [('sphereface-4', 2)]
SECONDS = 0.4  # a row

Contenders = dict[str, Callable[[], np.ndarray]]


def measure(check: Check, kind: str, rows: Sequence[tuple[str, int]], peers: Sequence[str]) -> None:
    """State the pictures/s of each row (network, batch) by contender, and the engine's over the best peer's.

    `kind` is 'training' or 'inference'. The engine competes twice, the second time with channels_last on the GPU too.
    In float32 all outputs (in training the first losses) must agree to 1e-3.
    """
    device = check.choose()
    for name, batch in rows:
        with check.apart(f'{name} {batch}'):
            _measure_row(check, f'{name} {batch}', batch, _all_contenders(check, kind, name, batch, peers, device))
        caffe.set_precision('fp32')
        if check.device == 'cuda':
            gc.collect()
            torch.cuda.empty_cache()


def _measure_row(check: Check, row: str, batch: int, contenders: Contenders) -> None:
    for precision in PRECISIONS[:: 2 if check.tiny else 1]:
        caffe.set_precision(precision)
        outputs = [np.array(run()).reshape(-1) for run in contenders.values()]
        if precision == 'fp32':
            _compare(check, row, outputs)
        wall, _ = take_turns(contenders, 0 if check.tiny else SECONDS)
        rates = {who: 1e3 * batch / ms for who, ms in wall.items()}
        best = max((rate for who, rate in rates.items() if not who.startswith('caffe')), default=float('nan'))
        check.figure(f'{row} {precision}', rates | {'of the best': rates['caffe'] / best})


def _all_contenders(
    check: Check, kind: str, name: str, batch: int, peers: Sequence[str], device: torch.device
) -> Contenders:
    """Those that can compete; the others are passed over."""
    made = _contenders(kind, name, batch, peers, device)
    made['caffe channels_last'] = _in_channels_last(_contenders(kind, name, batch, (), device)['caffe'])
    for who, what in made.items():
        if isinstance(what, Skipped):
            check.pass_over(f'{name} {batch} {who}', str(what))
    return {who: what for who, what in made.items() if not isinstance(what, Skipped)}


def _contenders(
    kind: str, name: str, batch: int, peers: Sequence[str], device: torch.device
) -> dict[str, Callable[[], np.ndarray] | Skipped]:
    caffe.set_random_seed(1)  # the same first weights for both of the engine's nets
    if kind == 'training':
        return training(name, batch, peers, device)
    return inference(name, batch, torch.get_num_threads(), peers, device)


def _in_channels_last(run: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    """The engine's work with pictures in channels_last on the GPU as well."""

    def chosen() -> np.ndarray:
        set_gpu_channels_last(True)
        try:
            return run()
        finally:
            set_gpu_channels_last(False)

    return chosen


def _compare(check: Check, name: str, outputs: list[np.ndarray]) -> None:
    reference = outputs[0]
    error = max(float(np.abs(other - reference).max()) for other in outputs) / float(np.abs(reference).max())
    check.figure(f'{name} difference', error)
    if not error <= 1e-3:
        check.wrong(f'{name} difference', 'outputs do not agree to 1e-3')
