"""What is written down while channels are followed through a net.

Every output channel of a layer with weights gets a number, its id. A blob is then the list of the ids along its channel
axis (`Flow`). What must go together is written down as ties between ids, what must stay as pins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError

MOST_CHANNELS = 2**24  # of a layer; every channel takes memory here


@dataclass(frozen=True)
class Flow:
    """The channel ids along axis 1 of a blob.

    `flat` where each stands for an unknown number of neighbours (H·W); `single` where the blob is known to hold one
    value per channel, (N, C) or (N, C, 1, 1).
    """

    ids: np.ndarray
    flat: bool = False
    single: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis of a weight blob that runs over channels: `ids` in order, each repeated H·W times where `block`.

    `role` is 'output' (the layer's own channels) or 'input' (the channels it reads); `ndim` is the number of axes the
    blob is read with (0: as stored), as old files pad shapes with ones.
    """

    layer: str
    blob: int
    axis: int
    ids: np.ndarray
    role: str
    ndim: int = 0
    block: bool = False

    def place(self, shape: tuple[int, ...]) -> int:
        """Where the axis is in a stored shape, which may be padded with ones in front."""
        if self.ndim == 1:
            return int(np.argmax(shape)) if shape else 0
        return self.axis + (max(len(shape) - self.ndim, 0) if self.ndim else 0)


@dataclass(frozen=True)
class Edit:
    """A field of a layer that counts channels: `path` like 'convolution_param.num_output' or 'a.b.dim[1]'.

    Its value is the number of kept channels among the first `ends[0]` of `ids`; a repeated field (`several`) has an
    entry for each of `ends`.
    """

    layer: str
    path: str
    ids: np.ndarray
    ends: tuple[int, ...]
    several: bool = False


@dataclass
class Trace:
    """What following the channels of one or more nets has shown so far."""

    made: dict[str, Flow] = field(default_factory=dict)  # layer → Flow of the channels it makes
    axes: dict[tuple[str, int, int], Axis] = field(default_factory=dict)  # (layer, blob, axis) → Axis
    edits: dict[tuple[str, str], Edit] = field(default_factory=dict)  # (layer, path) → Edit
    tops: dict[tuple[str, str], Flow] = field(default_factory=dict)  # (layer, top) → Flow
    readers: dict[tuple[str, str], set[str]] = field(
        default_factory=dict
    )  # (layer, top) → {names of the layers that read this version}
    layers: dict[str, caffe_pb2.LayerParameter] = field(default_factory=dict)  # layer → LayerParameter
    ties: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # (ids, ids): must go together, one by one
    pins: list[tuple[np.ndarray, str]] = field(default_factory=list)  # (ids, reason): must stay
    caveats: list[tuple[np.ndarray, str]] = field(default_factory=list)  # (ids, note): masking and removing differ
    shared: dict[str, dict[tuple[str, int], None]] = field(
        default_factory=dict
    )  # name of a shared parameter → {(layer, blob): None}, in order
    count: int = 0

    def make(self, layer: caffe_pb2.LayerParameter, number: int) -> Flow:
        """The flow of the channels a layer makes; the same one for a layer of the same name in another net."""
        if not 0 < number <= MOST_CHANNELS:
            raise SlimError(
                f"layer '{layer.name}' ({layer.type}): num_output is {number}, expected 1 to {MOST_CHANNELS}"
            )
        if layer.name not in self.made:
            self.made[layer.name] = self.fresh(number)
        flow = self.made[layer.name]
        if len(flow.ids) != number:
            raise SlimError(f"layer '{layer.name}' has {len(flow.ids)} outputs in one net and {number} in the other")
        return flow

    def fresh(self, number: int) -> Flow:
        """A flow of channels that no layer's weights make."""
        self.count += number
        return Flow(np.arange(self.count - number, self.count))

    def tie(self, first: np.ndarray, *others: np.ndarray) -> None:
        """Say that channels at the same place in equally long lists go together."""
        self.ties.extend((first, other) for other in others)

    def pin(self, flows: Sequence[Flow | None], reason: str) -> None:
        """Say that the channels of these flows cannot be removed."""
        self.pins.extend((flow.ids, reason) for flow in flows if flow is not None)

    def note(self, flow: Flow, caveat: str) -> None:
        """Say that removing channels of the flow changes what passes through the others."""
        self.caveats.append((flow.ids, caveat))

    def axis(
        self,
        layer: caffe_pb2.LayerParameter,
        blob: int,
        axis: int,
        flow: Flow,
        role: str,
        ndim: int = 0,
        block: bool = False,
    ) -> None:
        """Write down that this axis of the layer's blob runs over the flow's channels."""
        entry = Axis(layer.name, blob, axis, flow.ids, role, ndim, block or flow.flat)
        known = self.axes.setdefault((layer.name, blob, axis), entry)
        if len(known.ids) != len(flow.ids):
            raise SlimError(
                f"layer '{layer.name}' reads {len(known.ids)} channels in one place and {len(flow.ids)} in another"
            )
        self.tie(known.ids, flow.ids)

    def count_field(self, layer: caffe_pb2.LayerParameter, path: str, ids: np.ndarray) -> None:
        """Write down that this field of the layer counts these channels."""
        self.edits[layer.name, path] = Edit(layer.name, path, ids, (len(ids),))

    def points_field(self, layer: caffe_pb2.LayerParameter, path: str, ids: np.ndarray, points: Sequence[int]) -> None:
        """Write down that this repeated field of the layer cuts these channels at `points`."""
        self.edits[layer.name, path] = Edit(layer.name, path, ids, tuple(points), several=True)
