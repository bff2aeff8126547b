"""How a process finds the others of its training: the environment that torchrun and `launch` set, or an address."""

import os
from datetime import timedelta

import torch.distributed as dist

from caffe import random
from caffe.errors import CaffeError, first_line
from caffe.parallel.peers import Peers

_MEETING = timedelta(minutes=5)


def ranks_of_environment() -> tuple[int, int, int] | None:
    """(rank, count, rank on its machine) that the environment gives this process, None where it trains alone.

    CaffeError where the environment names others, but not in numbers.
    """
    values = [os.environ.get(name) for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')]
    if None in values[:2] or not os.environ.get('MASTER_ADDR') or values[1] == '1':
        return None
    try:
        rank, count, local = (int(value or 0) for value in values)
    except ValueError:
        raise CaffeError(
            f'RANK={values[0]}, WORLD_SIZE={values[1]}, LOCAL_RANK={values[2]} in the environment: '
            'expected numbers as torchrun sets them'
        ) from None
    return rank, count, local


def join() -> tuple[Peers, dist.Store]:
    """Meet the other processes that the environment names: (the Peers, the Store where they meet).

    The device must be chosen before. CaffeError where the others cannot be reached.
    """
    try:
        store, rank, count = next(iter(dist.rendezvous('env://', timeout=_MEETING)))
        return Peers(store, rank, count), store
    except (RuntimeError, ValueError) as error:
        raise CaffeError(
            f'process {os.environ["RANK"]}: the training at {os.environ["MASTER_ADDR"]}:'
            f'{os.environ.get("MASTER_PORT")} cannot be joined ({first_line(error)})'
        ) from None


def address() -> tuple[str, int]:
    """(host, port) of the store where the processes of the environment meet."""
    return os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])


def share_seed(store: dist.Store, rank: int) -> None:
    """Seed this process with a number that process 0 drew, where nobody chose one: all have to shuffle alike."""
    if rank == 0:
        store.set('caffe/seed', str(int(random.numpy_generator().integers(2**31))))
    random.set_seed(int(store.get('caffe/seed')))


def meet(address: str, rank: int, count: int) -> Peers:
    """Meet the other processes at an address `host:port`, where process 0 listens; the Peers.

    CaffeError where they cannot be reached, and where this process has met others before.
    """
    if dist.is_initialized():
        raise CaffeError('NCCL: this process trains with others already, expected one training per process')
    host, _, port = address.rpartition(':')
    try:
        store = dist.TCPStore(host, int(port), count, is_master=rank == 0, timeout=_MEETING)
    except (RuntimeError, ValueError) as error:
        raise CaffeError(
            f'NCCL: process {rank} of {count} cannot meet the others at {address!r} ({first_line(error)})'
        ) from None
    return Peers(store, rank, count)
