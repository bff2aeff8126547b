"""Sampling a caffe.Net: batches of pictures go through, chosen blobs come out as they are at chosen layers.

A blob that in-place layers overwrite exists in several versions; a `Stop` names one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type

Batch = Mapping[str, np.ndarray]  # {input blob: values}


@dataclass(frozen=True)
class Stop:
    """A version of a blob: after the forward of layer number `index` of a net."""

    index: int
    blob: str


Mark = tuple[int, list[Batch] | None]  # (layers done, of every batch the blobs that are still read), see `onward`
LARGEST_HELD = 2**30  # bytes of blobs that `Sampler.onward` keeps


class Sampler:
    """A caffe.Net with the batches to run through it.

    `feed` is None where the net has its own data layer, of which `batches` forwards are taken; else an iterable, or a
    function that returns one each time it is called, of {input blob: array}, of which at most `batches` are taken.
    `progress` wraps the iteration over batches, as tqdm does.
    """

    def __init__(
        self,
        net: caffe.Net,
        feed: Callable[[], Iterable[Batch]] | Iterable[Batch] | None = None,
        batches: int | None = None,
        progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    ) -> None:
        if feed is None and not batches:
            raise SlimError('a net that reads its own data needs a number of batches')
        self.net = net
        self._feed, self._batches, self._progress = feed, batches, progress
        self._index = {name: i for i, name in enumerate(net._layer_names)}
        self._held: Mark = (0, None)

    def after(self, layer: str, top: str) -> Stop:
        """The version of blob `top` that a layer leaves behind."""
        return Stop(self._number(layer), top)

    def before(self, layer: str, place: int = 0) -> Stop:
        """The version of its bottom number `place` that a layer reads."""
        return Stop(self._number(layer) - 1, self.net.bottom_names[layer][place])

    def through(self, layer: str) -> list[tuple[Stop, Stop]]:
        """[(what goes in, what comes out)] of a layer's weights: a pair for every bottom of a convolution, else one."""
        kind = self.net.layers[self._number(layer)]
        several = layer_type(kind).convolves or kind.type == 'Deconvolution'
        tops = self.net.top_names[layer][: None if several else 1]
        return [(self.before(layer, place), self.after(layer, top)) for place, top in enumerate(tops)]

    def blobs(self, stops: Sequence[Stop]) -> Iterator[list[np.ndarray]]:
        """Run the net batch by batch, no further than needed; yields a copy of each stop's blob as a list."""
        for batch in self._progress(self._inputs()):
            yield self._forward(batch, stops, max(stop.index for stop in stops))

    def one_by_one(self, stops: Sequence[Stop]) -> Iterator[tuple[Stop, np.ndarray]]:
        """Like `blobs`, yields (stop, its blob) for each stop of each batch, in the order of the net.

        The blob is the net's own, not a copy: it holds what it should until the next one is taken.
        """
        for batch in self._progress(self._inputs()):
            if self._feed is not None:
                self._set_inputs(batch)
            yield from self._versions(stops, 0)

    def onward(self, stops: Sequence[Stop]) -> Iterator[list[np.ndarray]]:
        """Like `blobs`, but each call goes on with every batch where the last one ended.

        For calls in the order of the net, between which only parameters of layers behind the last stop may change. What
        is needed for that stays in memory while it takes no more than `LARGEST_HELD` bytes; beyond, a call starts anew.
        """
        first, last = (pick(stop.index for stop in stops) for pick in (min, max))
        done, held = self._held
        if held is None or done > first + 1:
            done, held = 0, None
        names, size = self._read_after(last), 0
        kept: list[Batch] = []
        for batch in self._progress(self._inputs() if held is None else held):
            if isinstance(batch, dict):
                self._set_inputs(batch)
            found = self._pass(stops, done)
            if size <= LARGEST_HELD:
                kept.append({name: np.array(self.net.blobs[name].data) for name in names})
                size += sum(blob.nbytes for blob in kept[-1].values())
            yield found
        self._held = (last + 1, kept) if size <= LARGEST_HELD else (0, None)

    def mark(self) -> Mark:
        """Where the last call of `onward` ended."""
        return self._held

    def go_back(self, mark: Mark) -> None:
        """Let the next call of `onward` go on from there: parameters behind it may have changed."""
        self._held = mark

    def states(self, layers: Sequence[str]) -> Iterator[dict[str, Batch]]:
        """Run the net batch by batch; yields {layer: the blobs that it and those behind it read, as it finds them}."""
        order = sorted(layers, key=self._number)
        for batch in self._progress(self._inputs()):
            self._set_inputs(batch)
            found: dict[str, Batch] = {}
            done = 0
            for name in order:
                done = self._run_to(done, self._number(name) - 1)
                read = self._read_after(self._number(name) - 1)
                found[name] = {blob: np.array(self.net.blobs[blob].data) for blob in read}
            yield found

    def outputs_from(self, layer: str, state: Batch) -> list[np.ndarray]:
        """The net's outputs when it goes on from a layer with what `states` gave for it."""
        self._set_inputs(state)
        self._run_to(self._number(layer), len(self._index) - 1)
        return [np.array(self.net.blobs[name].data) for name in self.net.outputs]

    def _read_after(self, index: int) -> list[str]:
        """The blobs that layers after number `index` read as they are then."""
        names: dict[str, None] = {}
        written: set[str] = set()
        for name in list(self._index)[index + 1 :]:
            names.update(dict.fromkeys(blob for blob in self.net.bottom_names[name] if blob not in written))
            written.update(self.net.top_names[name])
        return list(names)

    def gradients(self, stops: Sequence[Stop]) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
        """Like `blobs`, yields (blobs, their diffs) after a backward pass.

        The objective is the net's loss; in a net without one half the squared length of its outputs, which needs no
        labels but `force_backward: true` in the net. SlimError where nothing flows back.
        """
        last = len(self._index) - 1
        has_loss = any(self.net.blob_loss_weights.values())
        for batch in self._progress(self._inputs()):
            data = self._forward(batch, stops, last)
            for name in () if has_loss else self.net.outputs:
                self.net.blobs[name].diff[...] = self.net.blobs[name].data
            diffs = self._backward(stops, last)
            if not any(diff.any() for diff in diffs):
                raise SlimError('no gradient reaches the layer, expected a net with a loss or `force_backward`')
            yield data, diffs

    def _number(self, layer: str) -> int:
        if layer not in self._index:
            raise SlimError(f"layer '{layer}' is not in the net that is run")
        return self._index[layer]

    def _inputs(self) -> Iterable[Any]:
        if self._feed is None:
            return range(self._batches or 0)
        return islice(self._feed() if callable(self._feed) else self._feed, self._batches)

    def _forward(self, batch: Any, stops: Sequence[Stop], last: int) -> list[np.ndarray]:
        if self._feed is not None:
            self._set_inputs(batch)
        found = self._pass(stops, 0)
        self._run_to(max((stop.index + 1 for stop in stops), default=0), last)
        return found

    def _pass(self, stops: Sequence[Stop], start: int) -> list[np.ndarray]:
        """Copies of the stops' blobs while the net runs from layer number `start` to the last of them."""
        found = {stop: np.array(blob) for stop, blob in self._versions(stops, start)}
        return [found[stop] for stop in stops]

    def _versions(self, stops: Sequence[Stop], start: int) -> Iterator[tuple[Stop, np.ndarray]]:
        """Each of the stops with the net's own blob, while the net runs from layer number `start` to the last one."""
        for stop in sorted(set(stops), key=lambda stop: stop.index):
            start = self._run_to(start, stop.index)
            blob = self.net.blobs[stop.blob].data
            if not np.isfinite(blob).all():
                raise SlimError(
                    f"blob '{stop.blob}' behind layer '{self.net._layer_names[stop.index]}' is not all "
                    'numbers, expected weights and pictures that give finite values'
                )
            yield stop, blob

    def _run_to(self, start: int, end: int) -> int:
        if start <= end:
            self.net._forward(start, end)
        return max(start, end + 1)

    def _set_inputs(self, batch: Mapping[str, np.ndarray]) -> None:
        for name, array in batch.items():
            if name not in self.net.blobs:
                raise SlimError(f"the net has no input blob '{name}', expected one of: {', '.join(self.net.inputs)}")
            self.net.blobs[name].reshape(*array.shape)
            self.net.blobs[name].data[...] = array

    def _backward(self, stops: Sequence[Stop], last: int) -> list[np.ndarray]:
        found, start = {}, last
        for stop in sorted(set(stops), key=lambda stop: -stop.index):
            if start > stop.index:
                self.net._backward(start, stop.index + 1)
                start = stop.index
            found[stop] = np.array(self.net.blobs[stop.blob].diff)
        self.net.clear_param_diffs()
        return [found[stop] for stop in stops]
