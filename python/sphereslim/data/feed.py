"""Picture files as batches for a net's input, read anew at every pass: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sphereslim.data.preparation import InputForm, load, prepare
from sphereslim.engine import caffe_pb2
from sphereslim.net.inputs import input_shape, is_data
from sphereslim.net.phases import TEST, layers_in


@dataclass(frozen=True)
class Feed:
    """Called, it yields {blob: (N, C, height, width)} over `paths` in order, `batch` pictures at a time.

    `shape` is (C, height, width); SlimError names a picture that cannot be used.
    """

    blob: str
    shape: tuple[int, ...]
    paths: tuple[str | Path, ...]
    form: InputForm = InputForm()
    batch: int = 32

    def __call__(self) -> Iterator[dict[str, np.ndarray]]:
        channels, height, width = self.shape
        for start in range(0, len(self.paths), self.batch):
            pictures = [
                load(path, channels, height, width, self.form.crop) for path in self.paths[start : start + self.batch]
            ]
            yield {self.blob: prepare(np.stack(pictures), self.form)}


def feed_for(
    net: caffe_pb2.NetParameter, paths: Iterable[str | Path], form: InputForm | None = None, batch: int = 32
) -> Feed:
    """The Feed of picture files for the first input of a deploy NetParameter, as it is in phase TEST."""
    given = type(net)(layer=[layer for layer in layers_in(net, TEST) if is_data(layer)])
    return Feed(given.layer[0].top[0], tuple((input_shape(given) or ())[1:]), tuple(paths), form or InputForm(), batch)
