"""The names of pycaffe's module of the same name, for scripts that import from caffe.pycaffe."""

from caffe._caffe import (
    NCCL,
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    Net,
    RMSPropSolver,
    SGDSolver,
    Timer,
)

__all__ = [
    'NCCL',
    'AdaDeltaSolver',
    'AdaGradSolver',
    'AdamSolver',
    'NesterovSolver',
    'Net',
    'RMSPropSolver',
    'SGDSolver',
    'Timer',
]
