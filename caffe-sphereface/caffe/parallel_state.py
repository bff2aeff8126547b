"""pycaffe's functions about several solvers in one program, and the stand-in for NCCL."""

from caffe.data.shard import set_shard, shard
from caffe.errors import CaffeError


def solver_count():
    """How many solvers train together."""
    return shard()[1]


def set_solver_count(count):
    """State how many solvers train together; each reads its share of the data."""
    rank = shard()[0]
    set_shard(rank if rank < count else 0, count)


def solver_rank():
    """Which of them this process is, from 0."""
    return shard()[0]


def set_solver_rank(rank):
    """State which of `solver_count()` solvers this process is."""
    set_shard(rank, shard()[1])


def set_multiprocess(multiprocess):
    """Accepted for old scripts: solvers that train together are processes here in any case."""


def has_nccl():
    """False: gradients are exchanged by torch.distributed, not through the class NCCL."""
    return False


class NCCL:
    """Stands where a Caffe built with NCCL has its communicator; scripts ask `has_nccl()` first."""

    def __init__(self, solver, uid):
        raise CaffeError('NCCL: not part of this Caffe, expected `caffe train -gpu 0,1,…` or torchrun for several GPUs')

    @staticmethod
    def new_uid():
        """Raises CaffeError: there is no NCCL to make an id."""
        raise CaffeError('NCCL: not part of this Caffe, expected `caffe train -gpu 0,1,…` or torchrun for several GPUs')
