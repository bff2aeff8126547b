#!/usr/bin/env python3
"""Prints how many MiB training a network of the benchmark takes at most, in a process of its own."""

import argparse
import os
from pathlib import Path

os.environ.setdefault('GLOG_minloglevel', '2')

import torch
from benchmarks.nets import training_net
from benchmarks.peers import choose_device, engine_step, torch_step
from benchmarks.torch_peer import Peer

from caffe.cli.malloc import keep_freed_memory
from caffe.net.free_memory import free_while_training

STEPS = 10  # what the C library keeps still grows after the first ones


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('who', choices=['caffe', 'torch'], help='the engine, or the same network as a PyTorch module')
    parser.add_argument('net', help='a folder of prototxt/, mobilefacenet or googlenet')
    parser.add_argument('batch', type=int, help='pictures per batch')
    parser.add_argument('threads', type=int, help='threads to compute with')
    parser.add_argument('--gpu', type=int, metavar='N', help='train on that GPU, and print what its memory holds')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f'{peak(args.who, args.net, args.batch, args.gpu):.0f}')


def peak(who, name, batch, gpu):
    """MiB that training takes at most in this process, which has not trained before."""
    if who == 'caffe':
        keep_freed_memory()
    param, device = training_net(name, batch), choose_device(gpu)
    memory = HostMemory() if gpu is None else GpuMemory(device)
    step = _caffe_train_step(param) if who == 'caffe' else _torch_step(param, device)
    memory.forget_peak()
    for _ in range(STEPS):
        step()
    return memory.peak()


def _caffe_train_step(param):
    """A step as the command `caffe train` makes it."""
    step, net = engine_step(param)
    free_while_training(net)
    return step


def _torch_step(param, device):
    """The module's training; the net that gave it its weights is gone."""
    loss = next(layer.top[0] for layer in param.layer if layer.type == 'SoftmaxWithLoss')
    _, net = engine_step(param)
    return torch_step(Peer(param, net, loss), net, device)


class HostMemory:
    """The memory of this process beyond what libraries keep for themselves."""

    def __init__(self):
        x = torch.randn(1, 3, 8, 8, requires_grad=True)
        torch.nn.functional.conv2d(x, torch.randn(4, 3, 3, 3)).sum().backward()
        self._before = _status('VmRSS')

    def forget_peak(self):
        """Let the peak start again at the present size."""
        Path('/proc/self/clear_refs').write_text('5')

    def peak(self):
        """MiB."""
        return (_status('VmHWM') - self._before) / 1024


class GpuMemory:
    """The memory of a GPU that tensors of this process take."""

    def __init__(self, device):
        self._device = device

    def forget_peak(self):
        """Let the peak start again at the present size."""
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self):
        """MiB."""
        return torch.cuda.max_memory_allocated(self._device) / 2**20


def _status(field):
    """KiB of a line of /proc/self/status."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field + ':'):
            return int(line.split()[1])
    raise OSError(f'/proc/self/status has no {field}')


if __name__ == '__main__':
    main()
