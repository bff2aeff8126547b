"""One training step of SphereFace-20 under PyTorch's profiler: kernels, launches, and gaps between kernels.

The first time as it is written, the second time as a CUDA graph.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from benchmarks.nets import training_net
from benchmarks.peers import engine_step
from sphereslim.engine import caffe
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from caffe.device import now
from caffe.net.captured import SETTLED
from gpu_checks.check import Check

LONGEST = 12  # kernels by the time that they take together


def run(check: Check) -> None:
    check.choose()
    name, batches = ('sphereface-4', [2]) if check.tiny else ('sphereface-20', [256, 32])
    for batch, graphs in [(batch, graphs) for batch in batches for graphs in (False, True)]:
        caffe.set_cuda_graphs(graphs)
        step, _ = engine_step(training_net(name, batch))
        for _ in range(SETTLED + 2):
            step()
        now()
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if check.device == 'cuda' else [])]
        with profile(activities=kinds) as profiler:
            step()
            now()
        _state(check, f'{name} {batch}{" graphs" * graphs}', profiler.events())


def _state(check: Check, name: str, events: Iterable[Any]) -> None:
    """State what the profiler saw; on the CPU, which has no kernels, its outermost operators stand for them."""
    events = list(events)
    on_gpu = [event for event in events if event.device_type == DeviceType.CUDA]
    kernels = on_gpu or [event for event in events if event.cpu_parent is None]
    spans = sorted((event.time_range.start, event.time_range.end) for event in kernels)
    busy, last = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0, end - max(start, last))
        last = max(last, end)
    whole = last - spans[0][0]
    check.figure(
        name,
        {
            'kernels': len(kernels),
            'launches': sum('launchkernel' in event.name.lower() for event in events),
            'ms': whole / 1e3,
            'busy ms': busy / 1e3,
            'gaps ms': (whole - busy) / 1e3,
        },
    )
    times: Counter[str] = Counter()
    for event in kernels:
        times[event.name[:60]] += event.time_range.end - event.time_range.start
    check.figure(f'{name}, ms by kernel', {kernel: time / 1e3 for kernel, time in times.most_common(LONGEST)})
