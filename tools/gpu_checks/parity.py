"""Every network on the GPU against the CPU: a forward, a backward, and a training of 30 iterations from there."""

from collections.abc import Iterator

import numpy as np
from benchmarks.nets import ROOT, training_net
from benchmarks.peers import engine_step
from sphereslim.engine import Blob, caffe, caffe_pb2
from sphereslim.net.costs import one_picture
from sphereslim.net.prototxt import read_net

from gpu_checks.check import Check

STEPS = 30
BATCH = 4
# of the largest value of a blob: sums are taken in other orders, and differences grow with the iterations
PASS, CURVE = 1e-3, 5e-3


def run(check: Check) -> None:
    check.choose()  # where there is no GPU, this says so before anything is computed
    for name in _networks(check.tiny):
        with check.apart(name):
            _compare(check, name)


def _compare(check: Check, name: str) -> None:
    batch, steps = (2, 1) if check.tiny else (BATCH, STEPS)
    param = _without_chance(training_net(name, batch))
    weights = str(check.folder / 'weights.caffemodel')
    caffe.set_random_seed(1)  # a value next to a kink of an activation makes gradients differ, by chance
    caffe.set_mode_cpu()
    on_cpu = _course(param, steps, weights, keeps=True)
    check.choose()
    on_device = _course(param, steps, weights)
    errors = {what: _error(on_device[what], on_cpu[what]) for what in on_cpu}
    check.figure(name, errors)
    too_far = [what for what, error in errors.items() if not error <= (PASS if what in _PASSES else CURVE)]
    if too_far:
        check.wrong(name, f'{", ".join(too_far)}: expected at most {PASS:g} in passes and {CURVE:g} in training')


_PASSES = ('forward', 'backward')


def _networks(tiny: bool) -> list[str]:
    """The networks of prototxt/ that are trained, those with the least to compute first."""
    folders = sorted(path.parent for path in (ROOT / 'prototxt').rglob('deploy.prototxt'))
    names = [str(folder.relative_to(ROOT / 'prototxt')) for folder in folders if (folder / 'train.prototxt').is_file()]
    if tiny:
        return ['sphereface-4']
    return sorted(names, key=lambda name: one_picture(read_net(ROOT / 'prototxt' / name / 'deploy.prototxt')).macs)


def _without_chance(param: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The net without dropout, whose draws are the device's own."""
    for layer in param.layer:
        if layer.type == 'Dropout':
            layer.dropout_param.dropout_ratio = 0
    return param


def _course(
    param: caffe_pb2.NetParameter, steps: int, weights: str, keeps: bool = False
) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of a pass and of a training; its first weights are written to `weights` or read from there."""
    step, net = engine_step(param)
    if keeps:
        net.save(weights)
    else:
        net.copy_from(weights)
    net.forward()
    forward = {name: blob.data.copy() for name, blob in net.blobs.items()}
    net.clear_param_diffs()
    net.backward()
    backward = {name: blob.diff.copy() for name, blob in _parameters(net)}
    net.copy_from(weights)  # the forward may have changed some: a margin's rows, the statistics of norms
    losses = []
    for _ in range(steps):
        step()
        losses.append([float(net.blobs[name].data.sum()) for name in net.outputs])
    parameters = {name: blob.data.copy() for name, blob in _parameters(net)}
    return {'forward': forward, 'backward': backward, 'losses': {'': np.array(losses)}, 'weights': parameters}


def _parameters(net: caffe.Net) -> Iterator[tuple[str, Blob]]:
    return ((f'{name}[{i}]', blob) for name, blobs in net.params.items() for i, blob in enumerate(blobs))


def _error(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> float:
    """The largest difference of any array, as a share of that array's largest value."""
    return max(
        float(np.abs(got[name] - array).max(initial=0) / max(np.abs(array).max(initial=0), 1e-3))
        for name, array in want.items()
    )
