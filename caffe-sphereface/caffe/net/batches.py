"""Running a net over more items than its batch holds: Net.forward_all and Net.forward_backward_all."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from caffe.net.net import Net


def forward_all(net: 'Net', blobs: Collection[str] | None = None, **kwargs: np.ndarray) -> dict[str, np.ndarray]:
    """Run forward over any number of items in batches; {name: array over all items} of outputs and `blobs`."""
    collected: dict[str, list[np.ndarray]] = {}
    for batch in _batches(net, kwargs):
        for name, values in net.forward(blobs, None, None, **batch).items():
            collected.setdefault(name, []).extend(values.copy())
    return _cut(collected, kwargs)


def forward_backward_all(
    net: 'Net', blobs: Collection[str] | None = None, diffs: Collection[str] | None = None, **kwargs: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Run forward and backward over any number of items in batches.

    Keyword arguments are inputs and output diffs by name. Returns ({name: data}, {name: diff}) over all items.
    """
    data = {name: values for name, values in kwargs.items() if name in net.inputs}
    top_diffs = {name: values for name, values in kwargs.items() if name in net.outputs}
    all_outs: dict[str, list[np.ndarray]] = {}
    all_diffs: dict[str, list[np.ndarray]] = {}
    for batch, diff_batch in zip(_batches(net, data), _batches(net, top_diffs) if top_diffs else _forever({})):
        for name, values in net.forward(blobs, None, None, **batch).items():
            all_outs.setdefault(name, []).extend(values.copy())
        for name, values in net.backward(diffs, None, None, **diff_batch).items():
            all_diffs.setdefault(name, []).extend(values.copy())
    return _cut(all_outs, data), _cut(all_diffs, data)


def _forever(value: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    while True:
        yield value


def _batches(net: 'Net', arrays: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Slices of the arrays of one net batch each, the last padded with zeros."""
    count = len(next(iter(arrays.values())))
    size = net.blobs[next(iter(arrays))].shape[0]
    for start in range(0, count, size):
        batch = {name: np.asarray(values[start : start + size]) for name, values in arrays.items()}
        short = size - min(size, count - start)
        yield {name: np.concatenate([v, np.zeros((short, *v.shape[1:]), v.dtype)]) for name, v in batch.items()}


def _cut(collected: dict[str, list[np.ndarray]], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    count = len(next(iter(arrays.values())))
    return {name: np.asarray(values[:count]) for name, values in collected.items()}
