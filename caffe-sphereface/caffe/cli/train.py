"""`caffe train`: in this process, in several that it starts, or as one of those that torchrun started."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import caffe
from caffe import log, random
from caffe.cli import progress
from caffe.cli.devices import choose_device, named_gpus
from caffe.cli.flags import at_least_one, named_stages, named_weights, need
from caffe.data.prefetch.worker_count import cores
from caffe.device import check_gpu
from caffe.errors import CaffeError
from caffe.layer_errors import in_one_line
from caffe.net.free_memory import free_while_training
from caffe.parallel import launcher, rendezvous
from caffe.parallel.heartbeat import keep_watch
from caffe.parallel.rank import is_root, set_shard
from caffe.proto import caffe_pb2
from caffe.proto.files import read_solver
from caffe.solvers.solver import Solver


def train(flags: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Train as `flags` say; `arguments` is the command line that repeats them, for processes of their own."""
    need(flags, 'solver')
    at_least_one(flags, 'processes')
    if flags.snapshot and flags.weights:
        raise CaffeError('-snapshot and -weights exclude each other: continue a run, or start from weights')
    param = _read_param(flags)
    gpus = named_gpus(flags.gpu)
    if not gpus and param.HasField('solver_mode') and param.solver_mode == caffe_pb2.SolverParameter.GPU:
        gpus = [param.device_id]
    ranks = rendezvous.ranks_of_environment()
    with _signals_as_before():
        if ranks:
            _train_as_one_of(flags, param, gpus, *ranks)
        elif max(len(gpus), flags.processes) > 1:
            _launch(flags, gpus, arguments)
        else:
            choose_device(gpus)
            _run(_make_solver(flags, param, gpus), flags)


def _read_param(flags: argparse.Namespace) -> caffe_pb2.SolverParameter:
    param = read_solver(flags.solver)
    param.train_state.level = flags.level
    param.train_state.stage.extend(named_stages(flags))
    if flags.weights:
        param.weights[:] = named_weights(flags)
    return param


def _launch(flags: argparse.Namespace, gpus: list[int], arguments: Sequence[str]) -> None:
    if gpus:
        if flags.processes > 1:
            raise CaffeError(
                f'-processes {flags.processes} and -gpu {flags.gpu}: expected one of them '
                '(every GPU has a process of its own)'
            )
        check_gpu(max(gpus))
        launcher.launch(arguments, len(gpus))
        return
    launcher.launch(arguments, flags.processes, threads=max(1, cores() // flags.processes))


def _train_as_one_of(
    flags: argparse.Namespace, param: caffe_pb2.SolverParameter, gpus: list[int], rank: int, count: int, local: int
) -> None:
    set_shard(rank, count)
    launcher.follow_launcher()
    if rank:
        log.init_log(1)
    if gpus and flags.gpu and local >= len(gpus):
        raise CaffeError(
            f'-gpu {flags.gpu}: process {rank} is number {local} on its machine, expected at least {local + 1} GPUs'
        )
    if gpus:
        gpus = [gpus[local] if flags.gpu else local]
    try:
        with in_one_line():
            _train_with_others(flags, param, gpus, rank, count)
    except CaffeError as error:
        _end_at_once(str(error), rank)


def _train_with_others(
    flags: argparse.Namespace, param: caffe_pb2.SolverParameter, gpus: list[int], rank: int, count: int
) -> None:
    choose_device(gpus)
    peers, store = rendezvous.join()
    end_watch = keep_watch(rendezvous.address(), rank, count, lambda text: _end_at_once(text, rank))
    if param.random_seed < 0:
        rendezvous.share_seed(store, rank)
    solver = _make_solver(flags, param, gpus)
    random.diverge(rank)
    peers.attach(solver)
    _run(solver, flags)
    peers.finish()
    end_watch()


def _end_at_once(text: str, rank: int) -> NoReturn:
    """Tell what went wrong and end without clearing up: torch's threads abort or wait when a peer is gone."""
    print(
        f'caffe: {text}' if text.startswith('process ') else f'caffe: process {rank}: {text}',
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _make_solver(flags: argparse.Namespace, param: caffe_pb2.SolverParameter, gpus: list[int]) -> Solver:
    param.solver_mode = caffe_pb2.SolverParameter.GPU if gpus else caffe_pb2.SolverParameter.CPU
    solver = caffe.get_solver(param, origin=flags.solver)
    solver.action = _signal_actions(flags)
    return solver


def _run(solver: Solver, flags: argparse.Namespace) -> None:
    free_while_training(solver.net)
    log.info('caffe.cpp:248', 'Starting Optimization')
    with progress.shown(solver) if flags.progress and is_root() else contextlib.nullcontext():
        solver.solve(flags.snapshot or None)
    log.info('caffe.cpp:259', 'Optimization Done.')


@contextlib.contextmanager
def _signals_as_before() -> Iterator[None]:
    """Give the signals that a training handles back to whoever had them, at the end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # one that was not set from Python cannot be
                signal.signal(number, handler)


def _signal_actions(flags: argparse.Namespace) -> Callable[[], str | None]:
    """A function that returns the request ('stop', 'snapshot') that signals made since it was last asked, or None.

    SIGTERM, with which `kill` and batch systems end a process, stops a training as Ctrl-C does by default. Where
    -sigint_effect is none it ends the process at once.
    """
    effects: dict[int, str] = {
        signal.SIGINT: _effect(flags, 'sigint_effect'),
        signal.SIGHUP: _effect(flags, 'sighup_effect'),
    }
    if flags.sigint_effect != 'none':
        effects[signal.SIGTERM] = 'stop'
    pending: list[str] = []
    for number in effects:
        signal.signal(number, lambda number, _: pending.append(effects[number]))
    return lambda: pending.pop(0) if pending else None


def _effect(flags: argparse.Namespace, name: str) -> str:
    effect: str = getattr(flags, name)
    if effect not in ('stop', 'snapshot', 'none'):
        raise CaffeError(f"-{name} '{effect}': expected stop, snapshot or none")
    return effect
