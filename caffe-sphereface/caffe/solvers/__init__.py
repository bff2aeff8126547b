"""Solvers: one class per Caffe type, and the factory that reads the type from the file."""

from pathlib import Path

from caffe.proto import caffe_pb2
from caffe.proto.files import read_solver
from caffe.solvers.solver import Solver


def get_solver(source: str | Path | caffe_pb2.SolverParameter, origin: str | Path | None = None) -> Solver:
    """The solver that a prototxt path describes, or a SolverParameter that was read from file `origin`."""
    kinds = {
        cls.kind: cls for cls in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
    }
    param, origin = read_solver(source), source if isinstance(source, (str, Path)) else origin
    return kinds.get(param.type, Solver)(param, origin)


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    kind = 'SGD'


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    kind = 'Nesterov'


class AdaGradSolver(Solver):
    """AdaGrad (Duchi et al. 2011)."""

    kind = 'AdaGrad'


class RMSPropSolver(Solver):
    """RMSProp (Tieleman & Hinton 2012)."""

    kind = 'RMSProp'


class AdaDeltaSolver(Solver):
    """AdaDelta (Zeiler 2012)."""

    kind = 'AdaDelta'


class AdamSolver(Solver):
    """Adam (Kingma & Ba 2015)."""

    kind = 'Adam'


__all__ = [
    'AdaDeltaSolver',
    'AdaGradSolver',
    'AdamSolver',
    'NesterovSolver',
    'RMSPropSolver',
    'SGDSolver',
    'Solver',
    'get_solver',
]
