"""Whether the data layer keeps up: its pictures/s, those of the net without it, and of the net that it feeds."""

import time
from collections.abc import Callable

from benchmarks.nets import training_net
from benchmarks.peers import engine_step
from benchmarks.pictures import LAYERS, layer_text, make_databases, make_list
from sphereslim.engine import caffe, caffe_pb2
from sphereslim.net.prototxt import parse_net

from caffe.device import now
from caffe.errors import CaffeError
from gpu_checks.check import Check

NETWORKS = ('sphereface-4', 'sphereface-20')


def run(check: Check) -> None:
    check.choose()
    batch, count, seconds = (2, 4, 0.0) if check.tiny else (256, 1024, 1.5)
    layers = {kind: layer_text(kind, check.folder, batch) for kind in _sources(check, count)}
    for kind, layer in layers.items():
        path = check.folder / 'data.prototxt'
        path.write_text(layer)
        net = caffe.Net(str(path), caffe.TRAIN)
        check.figure(f'{kind} alone, pictures/s', _rate(net.forward, batch, seconds))
    for name in NETWORKS[:1] if check.tiny else NETWORKS:
        alone = _rate(engine_step(training_net(name, batch))[0], batch, seconds)
        check.figure(f'{name} alone, pictures/s', alone)
        for kind, layer in layers.items():
            fed = _rate(engine_step(_fed(name, batch, layer))[0], batch, seconds)
            check.figure(f'{name} fed by {kind}', {'pictures/s': fed, 'share of the time waiting': 1 - fed / alone})


def _sources(check: Check, count: int) -> list[str]:
    """The kinds of layers that there are so many pictures for, made here."""
    paths = make_list(check.folder, count)
    try:
        make_databases(check.folder, paths)
    except CaffeError as error:
        check.pass_over('LMDB', str(error))
        return ['ImageData']
    return list(LAYERS)


def _fed(name: str, batch: int, layer: str) -> caffe_pb2.NetParameter:
    """The net with a data layer in place of its inputs."""
    made = parse_net(layer)
    made.layer.extend(each for each in training_net(name, batch).layer if each.type != 'Input')
    return made


def _rate(step: Callable[[], object], batch: int, seconds: float) -> float:
    """Pictures/s over about `seconds`, once workers and caches are warm."""
    for _ in range(3):
        step()
    began, count = now(), 0
    while not count or time.perf_counter() - began < seconds:
        step()
        count += 1
    return count * batch / (now() - began)
