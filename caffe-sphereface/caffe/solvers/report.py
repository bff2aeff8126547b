"""What a solver says while it trains and tests, in Caffe's words."""

import time

from caffe import log


class Clock:
    """Speed since the last display."""

    def __init__(self, iteration):
        self._iteration, self._since = iteration, time.perf_counter()

    def lap(self, iteration):
        """(iterations a second, seconds) since the last lap."""
        now = time.perf_counter()
        done, seconds = iteration - self._iteration, now - self._since
        self._iteration, self._since = iteration, now
        return (done / seconds if seconds > 0 else 0.0), seconds


def training(net, iteration, loss, clock, display):
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


def testing(net, iterations, with_loss, should_stop):
    """Run a test net and log the mean of every value of its outputs; nothing is logged when asked to stop."""
    sums, losses = {}, []
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


def output(net, name, value):
    """`name = value`, with weight and share of the loss where the blob has one."""
    weight = net.blob_loss_weights[name]
    loss = f' (* {log.number(weight)} = {log.number(weight * value)} loss)' if weight else ''
    return f'{name} = {log.number(value)}{loss}'
