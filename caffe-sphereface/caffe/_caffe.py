"""The names of pycaffe's compiled module, for scripts that import from caffe._caffe."""

from caffe import log
from caffe.blobs.blob import Blob
from caffe.device import Timer, set_cuda_graphs, set_device, set_mode_cpu, set_mode_gpu
from caffe.layers import layer_types as layer_type_list
from caffe.layers.python import Layer
from caffe.log import init_log
from caffe.net.net import Net
from caffe.net.wiring import BlobVec
from caffe.parallel.nccl import (
    NCCL,
    has_nccl,
    set_multiprocess,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from caffe.precision import set_precision
from caffe.random import set_seed as set_random_seed
from caffe.solvers import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

BoolVec = DtypeVec = IntVec = LayerVec = NetVec = StringVec = list

__all__ = [
    'NCCL',
    'AdaDeltaSolver',
    'AdaGradSolver',
    'AdamSolver',
    'Blob',
    'BlobVec',
    'BoolVec',
    'DtypeVec',
    'IntVec',
    'Layer',
    'LayerVec',
    'NesterovSolver',
    'Net',
    'NetVec',
    'RMSPropSolver',
    'SGDSolver',
    'StringVec',
    'Timer',
    'get_solver',
    'has_nccl',
    'init_log',
    'layer_type_list',
    'log',
    'set_cuda_graphs',
    'set_device',
    'set_mode_cpu',
    'set_mode_gpu',
    'set_multiprocess',
    'set_precision',
    'set_random_seed',
    'set_solver_count',
    'set_solver_rank',
    'solver_count',
    'solver_rank',
]
