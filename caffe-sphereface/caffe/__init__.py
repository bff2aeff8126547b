"""A drop-in Caffe on PyTorch."""

from caffe import io, layers, log, pycaffe
from caffe._caffe import (
    NCCL,
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    Layer,
    NesterovSolver,
    Net,
    RMSPropSolver,
    SGDSolver,
    Timer,
    get_solver,
    has_nccl,
    init_log,
    layer_type_list,
    set_cuda_graphs,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_precision,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from caffe.classifier import Classifier
from caffe.detector import Detector
from caffe.errors import CaffeError
from caffe.net_spec import NetSpec, params, to_proto
from caffe.proto.caffe_pb2 import TEST, TRAIN
from caffe.proto.dialects import set_dialect

__version__ = '1.0.0'

__all__ = [
    'NCCL',
    'TEST',
    'TRAIN',
    'AdaDeltaSolver',
    'AdaGradSolver',
    'AdamSolver',
    'CaffeError',
    'Classifier',
    'Detector',
    'Layer',
    'NesterovSolver',
    'Net',
    'NetSpec',
    'RMSPropSolver',
    'SGDSolver',
    'Timer',
    'get_solver',
    'has_nccl',
    'init_log',
    'io',
    'layer_type_list',
    'layers',
    'log',
    'params',
    'pycaffe',
    'set_cuda_graphs',
    'set_device',
    'set_dialect',
    'set_mode_cpu',
    'set_mode_gpu',
    'set_multiprocess',
    'set_precision',
    'set_random_seed',
    'set_solver_count',
    'set_solver_rank',
    'solver_count',
    'solver_rank',
    'to_proto',
]
