"""How many workers a data layer has, and whether they are threads or processes."""

import os

from caffe import device
from caffe.errors import CaffeError

_COUNT, _PROCESSES = 'CAFFE_DATA_WORKERS', 'CAFFE_DATA_PROCESSES'
_MOST = 32


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def worker_count() -> int:
    """Workers per data layer: one per core of this process, or what the environment variable CAFFE_DATA_WORKERS says.

    Processes that torchrun started together share the cores.
    """
    stated = os.environ.get(_COUNT)
    if stated is None:
        beside = os.environ.get('LOCAL_WORLD_SIZE', '')
        return max(1, min(_MOST, cores() // (int(beside) if beside.isdigit() and int(beside) else 1)))
    if not stated.isdigit() or int(stated) < 1:
        raise CaffeError(f"{_COUNT}='{stated}': expected a number of workers of at least 1")
    return int(stated)


def in_processes() -> bool:
    """True where the workers are processes: for nets on a GPU, or as the variable CAFFE_DATA_PROCESSES (0, 1) says.

    A net on a GPU is a sequence of short calls, each of which lets go of the interpreter and has to win it back from
    the worker threads. Those of a net on the CPU are long, and a thread shares with it what it has made.
    """
    stated = os.environ.get(_PROCESSES)
    if stated is None:
        return device.device().type == 'cuda' and hasattr(os, 'memfd_create')
    if stated not in ('0', '1'):
        raise CaffeError(f"{_PROCESSES}='{stated}': expected 0 (threads) or 1 (processes)")
    return stated == '1'
