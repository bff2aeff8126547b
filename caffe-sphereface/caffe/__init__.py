"""A drop-in Caffe on PyTorch."""

from caffe.errors import CaffeError
from caffe.layers import layer_types
from caffe.layers.python import Layer
from caffe.mode import set_device, set_mode_cpu, set_mode_gpu
from caffe.net import Net
from caffe.proto.caffe_pb2 import TEST, TRAIN
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

__version__ = '1.0.0'


def layer_type_list():
    """The names of all layer types, sorted."""
    return layer_types()


__all__ = ['TEST', 'TRAIN', 'AdaDeltaSolver', 'AdaGradSolver', 'AdamSolver', 'CaffeError', 'Layer', 'NesterovSolver', 'Net',
           'RMSPropSolver', 'SGDSolver', 'get_solver', 'layer_type_list', 'set_device', 'set_mode_cpu', 'set_mode_gpu',
           'set_random_seed']
