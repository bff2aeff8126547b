"""Inference in fewer passes: a layer with the BatchNorm, Scale and activation behind it as one.

Fusion is invisible to callers. A group runs folded only where no layer of it has a backward, nothing hooks into the
net, and Python holds no view of its parameters or of the blobs between its layers. Folded weights count for as long as
the parameters are untouched. The blobs between the layers are computed when somebody reads them, from the group's
input, and before any parameter changes.
"""

from collections.abc import Sequence

import torch

from caffe import device, precision
from caffe.blobs.blob import Blob
from caffe.blobs.memory import Shape, Stamp
from caffe.blobs.memory_format import as_channels_last
from caffe.layers.support.registry import Layer
from caffe.net.folded_kernels import Function, computation

LossTerms = list[tuple[int, float]]  # (index of a top, its weight in the loss)
Wire = tuple[Layer, list[Blob], list[Blob]]  # a layer, its bottoms, its tops


def find_groups(
    layers: list[Layer], bottoms: list[list[Blob]], tops: list[list[Blob]], loss_terms: list[LossTerms]
) -> dict[int, 'Group']:
    """{index of the first layer: Group} of a net whose lists run in parallel, as Wiring has them."""
    groups: dict[int, Group] = {}
    i = 0
    while i < len(layers):
        end = i
        if _starts(layers[i], bottoms[i]):
            while (
                end + 1 < len(layers)
                and not loss_terms[end]
                and layers[end].folds_as != 'activation'
                and _continues(layers[end + 1], bottoms[end + 1], tops[end])
            ):
                end += 1
            if not loss_terms[end] and tops[i][0] is not bottoms[i][0] and _pays(layers[i : end + 1]):
                chain = slice(i, end + 1)
                groups[i] = Group(layers[chain], bottoms[i][0], [top[0] for top in tops[chain]], end)
        i = end + 1
    return groups


def _starts(layer: Layer, bottom: list[Blob]) -> bool:
    return _folds(layer, bottom) and layer.folds_as != 'activation'


def _continues(layer: Layer, bottom: list[Blob], top: list[Blob]) -> bool:
    return _folds(layer, bottom) and bottom[0] is top[0] and layer.folds_as in ('affine', 'activation')


def _folds(layer: Layer, bottom: list[Blob]) -> bool:
    return not layer.needs_backward and len(bottom) == 1 and layer.can_fold(bottom[0].shape)


def _pays(layers: list[Layer]) -> bool:
    """Whether there is something to fold, or a convolution, which packed weights make faster by themselves."""
    return layers[0].folds_as == 'convolution' or (len(layers) > 1 and layers[1].folds_as == 'affine')


class Group:
    """Layers up to layer `last` of the net that can run as one."""

    def __init__(self, layers: list[Layer], bottom: Blob, tops: list[Blob], last: int) -> None:
        self.layers, self.bottom, self.tops, self.last = layers, bottom, tops, last
        self.top = tops[-1]
        self.hidden = [blob for blob in dict.fromkeys(tops) if blob is not self.top]
        self.blobs = [bottom, *tops]
        self.compute: Function | None = None  # function of the bottom's tensor, over packed weights
        self._packed: Conditions | None = None  # Conditions that `compute` was made for
        self._seen: Conditions | None = None  # Conditions of the last forward that `compute` did not fit
        # the bottom's tensor from which the hidden blobs of the last run follow
        self.pending: torch.Tensor | None = None

    def run(self) -> bool:
        """Compute the top from the bottom; False, and nothing done, where the layers have to run one by one."""
        if not self._fits():
            return False
        for blob in self.hidden:
            if blob.viewed():
                return False
        assert self.compute is not None
        x = as_channels_last(self.bottom.tensor)
        y = self.compute(x)
        if self.hidden:
            self._defer(x)
        self.top.tensor = y
        return True

    def is_packed(self) -> bool:
        """Whether `compute` fits the present parameters and shapes, as far as `run` has seen to that."""
        return self._packed is not None and self._packed.holds(self._shapes())

    def unpack(self) -> None:
        """Let go of the packed weights, which the next `run` packs again."""
        self.compute = self._packed = None

    def _shapes(self) -> list[Shape]:
        return [blob.shape for blob in self.blobs]

    def _fits(self) -> bool:
        """Whether `compute` fits, once it was made where parameters and shapes are the same as in the last forward.

        What changes with every forward, like the sizes of an image pyramid, is not worth packing weights for.
        """
        shapes = self._shapes()
        if self._packed and self._packed.holds(shapes):
            return True
        if not (self._seen and self._seen.holds(shapes)):
            self._seen = Conditions.of(shapes, self.layers)
            return False
        if self.bottom.count == 0:
            return False
        self.compute = computation(self.layers, self.bottom.shape)
        for layer in self.layers:
            for blob in layer.blobs:
                blob.watch(self)
        self._packed = self._seen
        return True

    def _defer(self, x: torch.Tensor) -> None:
        """Leave the hidden blobs to be computed from `x` on demand."""
        self.pending = lent(self.bottom, x)
        for blob in self.hidden:
            blob.defer(self)

    def settle(self) -> None:
        """Compute the hidden blobs of the last run, if that was not done yet."""
        x, self.pending = self.pending, None
        if x is None:
            return
        wires = [(layer, [source], [top]) for layer, source, top in zip(self.layers, self.blobs, self.tops)]
        values = replay(wires[: self.tops.index(self.top)], {self.bottom: x})
        for blob in self.hidden:
            if blob.is_deferred_to(self):
                blob.tensor = values[blob].tensor

    before_change = settle


def lent(blob: Blob, x: torch.Tensor) -> torch.Tensor:
    """`x`, a blob's tensor or a copy in another order, as it stays when Python writes to the blob later."""
    if x is not blob.tensor:
        return x
    if blob.viewed():
        return x.clone()
    blob.guard_data()
    return x


def replay(wires: Sequence[Wire], given: dict[Blob, torch.Tensor]) -> dict[Blob, Blob]:
    """{blob: a Blob with its values} after the layers of `wires`, (layer, bottoms, tops) each, from given tensors."""
    values: dict[Blob, Blob] = {}
    for blob, x in given.items():
        values[blob] = Blob(*x.shape)
        values[blob].tensor = x
    for layer, bottom, top in wires:
        sources = [values[blob] for blob in bottom]
        targets = [values.setdefault(blob, Blob(*blob.shape)) for blob in top]
        layer.reshape(sources, targets)
        layer.forward(sources, targets)
    return values


class Conditions:
    """The shapes of a group's blobs, the stamps of its parameters, the precision and the device at one time."""

    def __init__(self, shapes: list[Shape], stamps: list[Stamp]) -> None:
        self.shapes, self.stamps, self.setting = shapes, stamps, (precision.precision(), device.device())

    @staticmethod
    def of(shapes: list[Shape], layers: list[Layer]) -> 'Conditions | None':
        """The present conditions, None where a parameter can change without notice."""
        stamps = [blob.stamp() for layer in layers for blob in layer.blobs]
        known = [stamp for stamp in stamps if stamp is not None]
        return Conditions(shapes, known) if len(known) == len(stamps) else None

    def holds(self, shapes: list[Shape]) -> bool:
        """Whether the shapes are these, precision and device are the same and all parameters are untouched."""
        if shapes != self.shapes or (precision.precision(), device.device()) != self.setting:
            return False
        for stamp in self.stamps:
            if not stamp.holds():
                return False
        return True
