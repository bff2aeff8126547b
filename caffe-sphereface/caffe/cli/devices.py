"""The GPUs that a command line names."""

from collections.abc import Sequence

import torch

import caffe
from caffe import log
from caffe.errors import CaffeError


def named_gpus(text: str) -> list[int]:
    """The GPU numbers that -gpu names: [] for '', those of the machine for 'all'."""
    if not text:
        return []
    if text == 'all':
        return list(range(torch.cuda.device_count())) or [0]
    try:
        numbers = [int(number) for number in text.split(',')]
    except ValueError:
        raise CaffeError(f"-gpu '{text}': expected numbers separated by commas, or all") from None
    if len(set(numbers)) < len(numbers) or min(numbers) < 0:
        raise CaffeError(f"-gpu '{text}': expected different numbers of at least 0")
    return numbers


def choose_device(gpus: Sequence[int]) -> None:
    """Run on the first of `gpus`, or on the CPU where the list is empty."""
    if gpus:
        log.info('caffe.cpp:218', f'Using GPUs {", ".join(map(str, gpus))}')
        caffe.set_device(gpus[0])
        caffe.set_mode_gpu()
    else:
        log.info('caffe.cpp:211', 'Use CPU.')
        caffe.set_mode_cpu()
