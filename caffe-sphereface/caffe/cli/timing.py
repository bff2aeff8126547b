"""`caffe time`: milliseconds per layer and pass."""

from collections.abc import Callable
from functools import partial

from caffe import log
from caffe.device import now
from caffe.net.net import Net


def benchmark(net: Net, iterations: int) -> None:
    """Run forward and backward `iterations` times and log the mean time of every layer and pass."""
    net.run_forward()
    net.run_backward()
    log.info('caffe.cpp:359', '*** Benchmark begins ***')
    log.info('caffe.cpp:360', f'Testing for {iterations} iterations.')
    count = len(net.layers)
    forward, backward, began = [0.0] * count, [0.0] * count, _now()
    for i in range(iterations):
        start = _now()
        for j in range(count):
            forward[j] += _timed(partial(net.run_forward, j, j))
        for j in reversed(range(count)):
            backward[j] += _timed(partial(net.run_backward, j, j))
        log.info('caffe.cpp:388', f'Iteration: {i + 1} forward-backward time: {log.number(_now() - start)} ms.')
    total = _now() - began
    log.info('caffe.cpp:391', 'Average time per layer: ')
    for name, ahead, back in zip(net.layer_dict, forward, backward):
        log.info('caffe.cpp:394', f'{name:>10}\tforward: {log.number(ahead / iterations)} ms.')
        log.info('caffe.cpp:397', f'{name:>10}\tbackward: {log.number(back / iterations)} ms.')
    log.info('caffe.cpp:402', f'Average Forward pass: {log.number(sum(forward) / iterations)} ms.')
    log.info('caffe.cpp:404', f'Average Backward pass: {log.number(sum(backward) / iterations)} ms.')
    log.info('caffe.cpp:406', f'Average Forward-Backward: {log.number(total / iterations)} ms.')
    log.info('caffe.cpp:408', f'Total Time: {log.number(total)} ms.')
    log.info('caffe.cpp:409', '*** Benchmark ends ***')


def _now() -> float:
    """Milliseconds."""
    return 1000 * now()


def _timed(run: Callable[[], object]) -> float:
    start = _now()
    run()
    return _now() - start
