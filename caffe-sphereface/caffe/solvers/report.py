"""What a solver says while it trains and tests, in Caffe's words."""

import time
from collections.abc import Callable

import torch

from caffe import log
from caffe.net.net import Net


class Clock:
    """Speed since the last display."""

    def __init__(self, iteration: int) -> None:
        self._iteration, self._since = iteration, time.perf_counter()

    def lap(self, iteration: int) -> tuple[float, float]:
        """(iterations per second, seconds) since the last lap."""
        now = time.perf_counter()
        done, seconds = iteration - self._iteration, now - self._since
        self._iteration, self._since = iteration, now
        return (done / seconds if seconds > 0 else 0.0), seconds


def training(net: Net, iteration: int, loss: float, clock: Clock, display: int) -> None:
    """Log speed, smoothed loss and every value of the net's outputs."""
    speed, seconds = clock.lap(iteration)
    log.info(
        'solver.cpp:218',
        f'Iteration {iteration} ({log.number(speed)} iter/s, {log.number(seconds)}s/{display} '
        f'iters), loss = {log.number(loss)}',
    )
    values = [(name, v) for name in net.outputs for v in net.blobs[name].tensor.reshape(-1).tolist()]
    for index, (name, value) in enumerate(values):
        log.info('solver.cpp:237', f'    Train net output #{index}: {output(net, name, value)}')


def testing(net: Net, iterations: int, with_loss: bool, should_stop: Callable[[], bool]) -> None:
    """Run a test net and log the mean of every value of its outputs; nothing is logged when asked to stop."""
    sums: dict[str, torch.Tensor] = {}
    losses: list[torch.Tensor | float] = []
    for _ in range(iterations):
        if should_stop():
            log.info('solver.cpp:373', 'Test interrupted.')
            return
        losses.append(net.run_forward())  # read at the end, so that a GPU is not waited for in between
        for name in net.outputs:
            values = net.blobs[name].tensor.reshape(-1).clone()
            sums[name] = sums[name] + values if name in sums else values
    if with_loss and losses:
        log.info('solver.cpp:386', f'Test loss: {log.number(sum(map(float, losses)) / iterations)}')
    index = 0
    for name, total in sums.items():
        for value in total.tolist():
            log.info('solver.cpp:397', f'    Test net output #{index}: {output(net, name, value / iterations)}')
            index += 1


def output(net: Net, name: str, value: float) -> str:
    """`name = value`, with weight and share of the loss where the blob has one."""
    weight = net.blob_loss_weights[name]
    loss = f' (* {log.number(weight)} = {log.number(weight * value)} loss)' if weight else ''
    return f'{name} = {log.number(value)}{loss}'
