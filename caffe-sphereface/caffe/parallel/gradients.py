"""The gradients of a net in one flat tensor, summed over processes part by part while backward still runs."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.distributed as dist

from caffe import device
from caffe.blobs.blob import Blob

# values of a part: fewer cost more in starting the exchange than waiting would
PART = 1 << 20


class Parameters(Protocol):
    """The parameters of a net: parallel lists of their blobs, (layer, index) of their first users, and rates."""

    blobs: list[Blob]
    names: list[tuple[str, int]]
    lr: list[float]


class Layer(Protocol):
    """What is asked of a layer."""

    @property
    def name(self) -> str: ...


class Net(Protocol):
    """What is asked of a net that several processes train."""

    @property
    def learnable(self) -> Parameters: ...

    @property
    def layers(self) -> Sequence[Layer]: ...

    def after_backward(self, hook: Callable[[int], object], /) -> None: ...


class Gradients:
    """The diffs of all parameters of `net` that learn, in the order in which backward completes them.

    `extra` is a tensor of that many further values, which are summed along with the last part.
    """

    def __init__(self, net: Net, extra: int) -> None:
        learnable = net.learnable
        first: dict[str, int] = {}
        for index, layer in enumerate(net.layers):
            first.setdefault(layer.name, index)
        # a shared parameter belongs to its first user, whose backward is the last one
        order = sorted(
            ((first[name], k) for k, (name, _) in enumerate(learnable.names) if learnable.lr[k]), reverse=True
        )
        self._blobs = [learnable.blobs[k] for _, k in order]
        counts = [blob.count for blob in self._blobs]
        self._flat = torch.empty(sum(counts) + extra, device=device.device())
        *self._views, self.extra = self._flat.split([*counts, extra])
        self._parts = _parts(counts, [index for index, _ in order])
        self._works: list[dist.Work] = []

    def layer_done(self, index: int) -> None:
        """Start to exchange what is complete once layer `index`, and all behind it, had its backward."""
        while len(self._works) < len(self._parts) - 1 and self._parts[len(self._works)][1] >= index:
            self._start()

    def finish(self, count: int) -> None:
        """Exchange what is left, wait, and replace the diffs by their mean over `count` processes."""
        while len(self._works) < len(self._parts):
            self._start()
        for work in self._works:
            work.wait()
        self._works = []
        torch._foreach_div_(self._views, count)
        for blob, view in zip(self._blobs, self._views):
            blob.grad = view.view(blob.shape)

    def _start(self) -> None:
        """Begin to sum the next part; all processes do so in the same order."""
        number = len(self._works)
        first = self._parts[number - 1][0] if number else 0
        last = self._parts[number][0]
        views = self._views[first:last]
        if views:
            torch._foreach_copy_(views, [blob.grad.reshape(-1) for blob in self._blobs[first:last]])
        begin = sum(len(view) for view in self._views[:first])
        end = len(self._flat) if number == len(self._parts) - 1 else begin + sum(len(view) for view in views)
        self._works.append(dist.all_reduce(self._flat[begin:end], async_op=True))


def _parts(counts: Sequence[int], layers: Sequence[int]) -> list[tuple[int, int]]:
    """[(end, layer)]: each part ends before parameter `end` and is complete after the backward of `layer`."""
    parts, values = [], 0
    for k, count in enumerate(counts):
        values += count
        if values >= PART or k == len(counts) - 1:
            parts.append((k + 1, layers[k]))
            values = 0
    return parts or [(0, 0)]
