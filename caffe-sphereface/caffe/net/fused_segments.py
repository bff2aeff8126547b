"""Inference in longer stretches: folded groups and the layers without weights between them as one function of tensors.

With batch 1 the accounts that Python keeps for every layer take as long as a quarter of the computing; here they are
kept once for many layers. On the CPU large batches go through in parts, from the first layer to the last, so that what
passes between layers stays in caches and in memory that is used again. Like a folded group this is invisible to
callers: the blobs inside are computed when they are read. A segment whose blobs were read once leaves the work to its
groups from then on, for they have less to compute again.
"""

from collections.abc import Callable, Iterable

import torch

from caffe import device
from caffe.blobs.blob import Blob
from caffe.blobs.memory_format import as_channels_last
from caffe.layers.support.registry import Layer
from caffe.net.folded_kernels import Function, computation
from caffe.net.fused_groups import Conditions, Group, LossTerms, Wire, lent, replay

# the blob to compute, by what, and from which, each with how to take its tensor from those that are there
Step = tuple[Blob, Callable[..., torch.Tensor], list[tuple[Callable, Blob]]]

# of the largest blob of a chunk; glibc gives blocks of 32 MiB and more back to the system as soon as they are freed
MOST_BYTES = 24 << 20


def find_segments(
    layers: list[Layer],
    bottoms: list[list[Blob]],
    tops: list[list[Blob]],
    loss_terms: list[LossTerms],
    groups: dict[int, Group],
) -> dict[int, 'Segment']:
    """{index of the first layer: Segment} for every row of two groups or more with only layers that `infer` between."""
    segments: dict[int, Segment] = {}
    parts: list[tuple[int, int]] = []
    i = 0
    # a chunk of a batch would read the whole matrix of an InnerProduct
    groups = {first: group for first, group in groups.items() if group.layers[0].folds_as != 'product'}
    while i <= len(layers):
        end = groups[i].last if i in groups else i
        if i in groups or (i < len(layers) and _goes_between(layers[i], loss_terms[i])):
            parts.append((i, end))
        else:
            if sum(first in groups for first, _ in parts) > 1:
                start, stop = parts[0][0], parts[-1][1]
                wires = list(zip(layers, bottoms, tops))[start : stop + 1]
                segments[start] = Segment(wires, [groups.get(first) or first - start for first, _ in parts], stop)
            parts = []
        i = end + 1
    return segments


def _goes_between(layer: Layer, loss_terms: LossTerms) -> bool:
    return (layer.infer or layer.passes_bottom_on) and not layer.needs_backward and not loss_terms


class Segment:
    """The layers of `wires`, (layer, bottoms, tops) each, up to layer `last` of the net.

    `parts` are in their order the groups among them, and the places in `wires` of the layers between.
    """

    def __init__(self, wires: list[Wire], parts: list[Group | int], last: int) -> None:
        self.wires, self.parts, self.last = wires, parts, last
        self.layers = [layer for layer, _, _ in wires]
        self.groups = [part for part in parts if not isinstance(part, int)]
        self.blobs = list(dict.fromkeys(blob for _, bottom, top in wires for blob in [*bottom, *top]))
        self._origin = self._origins()
        self.bottoms, self.tops = self._ends()
        given = {self._origin[blob] for blob in [*self.bottoms, *self.tops]}
        self.hidden = [blob for blob in self.blobs if self._origin[blob] not in given]
        self._conditions: Conditions | None = None  # what the three below fit, None while groups are not packed
        self._steps: list[Step] = []  # what `_plan` gives
        self._pictures: int | None = None  # how many pictures make a chunk, None for all at once
        # {bottom: tensor} from which the hidden blobs of the last run follow
        self.pending: dict[Blob, torch.Tensor] | None = None
        self._was_read = False  # somebody read a hidden blob: the groups do the work from now on

    def _ends(self) -> tuple[list[Blob], list[Blob]]:
        """(bottoms, tops): the blobs that come from before; those that layers behind may read.

        These are the blobs from before that layers inside change, and those whose last values no layer inside reads.
        """
        bottoms: dict[Blob, None] = {}
        made: set[Blob] = set()
        changed: dict[Blob, None] = {}
        unread: dict[Blob, None] = {}
        for _, bottom, top in self.wires:
            for blob in bottom:
                unread.pop(blob, None)
                if self._origin[blob] not in made:
                    bottoms[self._origin[blob]] = None
            for blob in top:
                unread[blob] = None
                if self._origin[blob] not in bottoms or blob in bottom:
                    made.add(self._origin[blob])
                if blob in bottoms:
                    changed[blob] = None
        return list(bottoms), list({**changed, **unread})

    def _origins(self) -> dict[Blob, Blob]:
        """{blob: the blob whose data it shares}: itself, but for the tops of splits."""
        origin = {blob: blob for blob in self.blobs}
        for layer, bottom, top in self.wires:
            if layer.passes_bottom_on:
                origin.update((blob, origin[bottom[0]]) for blob in top)
        return origin

    def run(self) -> bool:
        """Compute the tops from the bottoms; False, and nothing done, where the groups have to do it."""
        if self._was_read or not self._is_ready():
            return False
        for blob in self.hidden:
            if blob.viewed():
                return False
        inputs = [as_channels_last(blob.tensor) for blob in self.bottoms]
        values = self._computed(inputs)
        self.pending = {blob: lent(blob, x) for blob, x in zip(self.bottoms, inputs)}
        for blob in self.hidden:
            blob.defer(self)
        for blob in self.tops:
            blob.tensor = values[self._origin[blob]]
        return True

    def _computed(self, inputs: list[torch.Tensor]) -> dict[Blob, torch.Tensor]:
        """{blob: tensor} of at least the tops from the bottoms' tensors, chunk by chunk where they are large."""
        if not self._pictures:
            return self._compute(inputs)
        chunks = [self._compute(chunk) for chunk in zip(*[x.split(self._pictures) for x in inputs])]
        return {blob: torch.cat([chunk[blob] for chunk in chunks]) for blob in {self._origin[top] for top in self.tops}}

    def _compute(self, inputs: Iterable[torch.Tensor]) -> dict[Blob, torch.Tensor]:
        values = dict(zip(self.bottoms, inputs))
        for top, function, operands in self._steps:
            values[top] = function(*[take(values, blob) for take, blob in operands])
        return values

    def _is_ready(self) -> bool:
        """Whether shapes and parameters are those that all groups are packed for."""
        if self._conditions and self._conditions.holds([blob.shape for blob in self.blobs]):
            return True
        self._conditions = None
        for part in self.parts:  # in their order: whether a group fits depends on the shapes that come to it
            if isinstance(part, int):
                layer, bottom, top = self.wires[part]
                layer.reshape(bottom, top)
            elif not part.is_packed():
                return False
        conditions = Conditions.of([blob.shape for blob in self.blobs], self.layers)
        if conditions is None:
            return False
        self._conditions = conditions
        self._pictures = self._pictures_at_once()
        self._steps = self._plan()
        for layer in self.layers:
            for blob in layer.blobs:
                blob.watch(self)
        return True

    def _pictures_at_once(self) -> int | None:
        """How many pictures make a chunk, None where all go through together."""
        counts = {blob.shape[:1] for blob in self.blobs}
        if device.device().type != 'cpu' or len(counts) > 1 or not all(counts):
            return None
        ((count,),) = counts
        fit = max(1, MOST_BYTES // (4 * max(blob.count for blob in self.blobs) // count))
        chunks = -(-count // fit)
        return -(-count // chunks) if chunks > 1 else None

    def _function(self, group: Group) -> Function:
        """What computes a group for as many pictures as go through at once, over weights packed for that."""
        if not self._pictures:
            assert group.compute is not None
            return group.compute
        group.unpack()
        return computation(group.layers, (self._pictures, *group.bottom.shape[1:]))

    def _plan(self) -> list[Step]:
        """[(top, function of tensors, [(how to take it, operand)])], where the last to read a tensor takes it away."""
        steps: list[Step] = []
        needed = {self._origin[blob] for blob in self.tops}
        for part in reversed(self.parts):
            if not isinstance(part, int):
                top, function, bottom = part.top, self._function(part), [part.bottom]
            else:
                layer, bottom, (top, *_) = self.wires[part]
                if layer.passes_bottom_on:
                    continue
                assert layer.infer is not None
                function = layer.infer
            sources = [self._origin[blob] for blob in bottom]
            # of an operand that comes twice only the last one may be taken away
            operands = [
                (dict.get if source in needed or source in sources[k + 1 :] else dict.pop, source)
                for k, source in enumerate(sources)
            ]
            steps.append((self._origin[top], function, operands))
            needed.update(sources)
        return steps[::-1]

    def settle(self) -> None:
        """Compute the hidden blobs of the last run for somebody who reads them."""
        self._was_read = self._was_read or self.pending is not None
        self.before_change()

    def before_change(self) -> None:
        """Compute the hidden blobs of the last run, if that was not done yet, while the parameters are the same."""
        given, self.pending = self.pending, None
        if given is None:
            return
        values = replay(self.wires, given)
        for blob in self.hidden:
            if blob.is_deferred_to(self):
                blob.tensor = values[blob].tensor
