"""From a source of items to the tops of a data layer: order, random draws, shards, reading ahead."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Generic, NoReturn, Protocol

import numpy as np
import torch

from caffe import device, random
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer
from caffe.data.prefetch.batch import Item, Label, NewRow
from caffe.data.prefetch.forked import ProcessPrefetcher
from caffe.data.prefetch.gpu_upload import BatchSource, Upload
from caffe.data.prefetch.threads import Prefetcher
from caffe.data.prefetch.worker_count import in_processes
from caffe.errors import CaffeError
from caffe.parallel.rank import shard
from caffe.proto import caffe_pb2

# before another of several resize_param is drawn, as in MobileNet-YOLO
_BATCHES_OF_A_SIZE = 10


class DataLayer(Protocol):
    """What is asked of a layer that a Feed belongs to."""

    phase: int
    param: caffe_pb2.LayerParameter

    def error(self, message: str) -> NoReturn:
        """Raise CaffeError with a message that names the layer."""


class Order:
    """The endless sequence of indices 0 … count-1, shuffled anew each time round when `shuffle` is set."""

    def __init__(
        self, count: int, shuffle: bool = False, skip: int = 0, generator: np.random.Generator | None = None
    ) -> None:
        self._count, self._generator = count, generator if shuffle else None
        self._sequence = self._new_sequence()
        self._position = skip

    def _new_sequence(self) -> Sequence[int] | np.ndarray:
        return self._generator.permutation(self._count) if self._generator else range(self._count)

    def peek(self) -> int:
        """The index that `step` gives next."""
        return int(self._sequence[self._position])

    def step(self) -> int:
        """The next index."""
        index = self.peek()
        self._position += 1
        if self._position == self._count:
            self._position, self._sequence = 0, self._new_sequence()
        return index


class Listed(Protocol):
    """What the parameter of a layer states that reads a list."""

    source: str
    shuffle: bool
    rand_skip: int
    batch_size: int


class Resized(Protocol):
    """What the parameter of a layer states that resizes pictures."""

    new_height: int
    new_width: int


def check_new_size(layer: DataLayer, param: Resized) -> None:
    """An error naming the layer where pictures are to get a height without a width, or a width without a height."""
    if bool(param.new_height) != bool(param.new_width):
        layer.error(f'new_height {param.new_height} and new_width {param.new_width}: expected both or none')


def order_of_list(layer: DataLayer, param: Listed, count: int, generator: np.random.Generator) -> Order:
    """The order of the `count` entries of a layer's list; an error naming the layer where `rand_skip` skips all."""
    skip = int(generator.integers(param.rand_skip)) if param.rand_skip else 0
    if skip >= count:
        layer.error(f'rand_skip {param.rand_skip} skipped {skip} lines, {param.source} has {count}')
    return Order(count, param.shuffle, skip, generator)


def own_generator() -> np.random.Generator:
    """A numpy Generator for one data layer, seeded by the process-wide one.

    It makes what a layer draws independent of when its threads draw it.
    """
    return np.random.default_rng(random.numpy_generator().integers(2**63))


def plan_batches(
    step: Callable[[], Item], batch_size: int, transformer: Transformer, generator: np.random.Generator, phase: int
) -> Iterator[list[tuple[Item, Draw]]]:
    """Yield batches of (item, random draws of its transformation) without end.

    `step()` gives the next item of the source. In TRAIN each of several processes gets its share of the items, and the
    draws that a single process would make for them.
    """
    size = 0
    for number in itertools.count():
        if number % _BATCHES_OF_A_SIZE == 0:
            size = transformer.drawn_size(generator)
        rank, count = shard() if phase == caffe_pb2.TRAIN else (0, 1)
        planned: list[tuple[Item, Draw]] = []
        for _ in range(count):  # batch by batch, since `step` may draw from the same generator
            items = [step() for _ in range(batch_size)]
            planned += zip(items, transformer.draws(generator, batch_size, size))
        yield planned[rank::count]


class Feed(Generic[Item]):
    """The reading-ahead half of a data layer: puts one batch after another into its tops.

    `step()` gives the next item of the source; `load(item, draw, new_row)` writes one into the array that
    `new_row(shape, dtype)` gives, transformed by the row `draw` of `Transformer.draws`, and returns its label. They
    must not refer to the layer, or what reads ahead would keep it alive. Up to `ahead` batches are prepared.
    `divisible` says that copies of this process can read the source, too, and that labels are a number each.
    """

    def __init__(
        self,
        layer: DataLayer,
        transformer: Transformer,
        step: Callable[[], Item],
        load: Callable[[Item, Draw, NewRow], Label],
        batch_size: int,
        generator: np.random.Generator,
        ahead: int = 4,
        divisible: bool = True,
    ) -> None:
        if not batch_size:
            layer.error('batch_size is 0, expected at least 1')
        self.transformer, self._load, self.batch_size = transformer, load, batch_size
        self._upload: Upload | None = None

        def load_planned(planned: tuple[Item, Draw], new_row: NewRow) -> Label:
            item, draw = planned
            return load(item, draw, new_row)

        plan = plan_batches(step, batch_size, transformer, generator, layer.phase)
        self._prefetcher: BatchSource
        if divisible and in_processes():
            self._prefetcher = ProcessPrefetcher(plan, load_planned, ahead)
        else:
            self._prefetcher = Prefetcher(plan, load_planned, batch_size, ahead)

    def shape_tops(self, layer: DataLayer, top: Sequence[Blob], first: Item) -> Label:
        """Give the tops the shapes that a batch of items like `first` has, and return its label.

        CaffeError naming the layer if the item is bad.
        """
        shapes: list[tuple[int, ...]] = []

        def new_row(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
            shapes.append(shape)
            return np.empty(shape, dtype)

        try:
            label = self._load(first, np.zeros(3), new_row)
        except CaffeError as error:
            layer.error(str(error))
        if self.batch_size * prod(shapes[0]) >= 2**31:
            layer.error(f'batch_size {self.batch_size} of items {shapes[0]} makes 2^31 values or more, expected fewer')
        top[0].reshape(self.batch_size, *shapes[0])
        if len(top) > 1:
            top[1].reshape(self.batch_size, *np.shape(label))
        return label

    def forward(self, layer: DataLayer, top: Sequence[Blob]) -> None:
        """Wait for the next batch and put it into the tops; CaffeError naming the layer for an item that is bad."""
        try:
            data, labels = self._next()
        except CaffeError as error:
            layer.error(str(error))
        top[0].reshape(*data.shape)
        top[0].tensor = self.transformer.finish(data)
        if len(top) > 1:
            top[1].reshape(*labels.shape)
            top[1].tensor = labels

    def _next(self) -> Sequence[torch.Tensor]:
        """(data, labels) of the next batch, in GPU mode on the GPU."""
        where = device.device()
        if self._upload is None and where.type == 'cuda':
            self._upload = Upload(self._prefetcher)
        if self._upload:
            return self._upload.next()
        batch = self._prefetcher.next()
        return batch.data, batch.labels


def make_transformer(layer: DataLayer, scales: bool = False) -> Transformer:
    """The Transformer that a layer's transform_param asks for, errors naming the layer; `scales` as Transformer's."""
    late = device.device().type == 'cuda'
    try:
        return Transformer(layer.param.transform_param, layer.phase, late, scales)
    except CaffeError as error:
        layer.error(str(error))


def forced_color(layer: DataLayer) -> bool | None:
    """Whether the transform_param of a layer decodes pictures in colour or in grey, None where it leaves them."""
    transform = layer.param.transform_param
    if transform.force_color and transform.force_gray:
        layer.error('has force_color and force_gray, expected one of them')
    return True if transform.force_color else False if transform.force_gray else None
