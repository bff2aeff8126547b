"""How long and how fast a stage trains, and the solver that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.heads import with_falling_lambda
from sphereslim.net.messages import copy_of
from sphereslim.settings import checked

SETTINGS = {
    'iterations': 'count',
    'base_lr': 'positive',
    'batch': 'count',
    'steps?': 'wholes',
    'gamma?': 'positive',
    'display?': 'whole',
    'snapshot?': 'whole',
    'iter_size?': 'count',
    'average_loss?': 'count',
    'lambda_falls?': 'whole',
    'extra?': 'settings',
}


_TESTS = ('test_net', 'test_net_param', 'test_state', 'test_iter', 'test_interval', 'test_initialization')


@dataclass(frozen=True)
class Schedule:
    """One training: `iterations` of `batch` pictures at `base_lr`, times `gamma` at each of `steps`.

    `snapshot` 0 keeps only the end. `iter_size` batches make one iteration. `lambda_falls` is the number of iterations
    in which the margin's lambda falls to lambda_min; 0 for as many as the net says.
    """

    iterations: int
    base_lr: float
    batch: int
    steps: tuple[int, ...] = ()
    gamma: float = 0.1
    display: int = 20
    snapshot: int = 0
    iter_size: int = 1
    average_loss: int = 1
    lambda_falls: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Any, name: str = 'schedule') -> Schedule:
        """A Schedule from the values of a settings file; SlimError names what is missing, unknown or invalid."""
        checked(values, SETTINGS, name)
        return cls(**{**values, 'steps': tuple(values.get('steps', ()))})


def net_for(net: caffe_pb2.NetParameter, schedule: Schedule) -> caffe_pb2.NetParameter:
    """A train net with the lambda of a Schedule."""
    if not schedule.lambda_falls:
        return net
    return with_falling_lambda(net, schedule.lambda_falls * schedule.iter_size)


def trained_on(base: caffe_pb2.SolverParameter, net: str | Path, prefix: str | Path) -> caffe_pb2.SolverParameter:
    """A SolverParameter like `base` that trains the net at a path, with snapshots in files that start with `prefix`.

    Test nets of their own are left out, with their settings: they are not of the shape of that net.
    """
    solver = copy_of(base)
    for name in ('net', 'net_param', 'train_net', 'train_net_param', *(_TESTS if has_test_nets(base) else ())):
        solver.ClearField(name)
    solver.net, solver.snapshot_prefix = str(net), str(prefix)
    return solver


def has_test_nets(solver: caffe_pb2.SolverParameter) -> bool:
    """Whether a SolverParameter tests on other nets than the one that it trains."""
    return bool(solver.test_net or solver.test_net_param)


def solver_for(
    base: caffe_pb2.SolverParameter, schedule: Schedule, net: str | Path, prefix: str | Path, seed: int
) -> caffe_pb2.SolverParameter:
    """A SolverParameter like `base` (momentum, decay, type, …) for `net` (a path) on a Schedule.

    Snapshots go to files that start with `prefix`; `seed` makes the run repeatable.
    """
    solver = trained_on(base, net, prefix)
    for name in ('stepvalue', 'solver_mode', 'stepsize'):
        solver.ClearField(name)
    solver.base_lr, solver.max_iter, solver.display = schedule.base_lr, schedule.iterations, schedule.display
    if schedule.steps:
        solver.lr_policy, solver.gamma = 'multistep', schedule.gamma
        solver.stepvalue.extend(schedule.steps)
    else:
        solver.lr_policy = 'fixed'
        solver.ClearField('gamma')
    solver.snapshot, solver.random_seed = schedule.snapshot, seed
    for name in ('iter_size', 'average_loss'):
        if getattr(schedule, name) != 1:
            setattr(solver, name, getattr(schedule, name))
    for name, value in schedule.extra.items():
        try:
            setattr(solver, name, value)
        except (AttributeError, TypeError, ValueError):
            raise SlimError(f'extra: {name} {value!r} is no setting of a solver') from None
    return solver
