"""Channel groups: the filters, biases, slopes, statistics and input channels that can only be removed together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sphereslim.channels.follow import follow, lone_channels
from sphereslim.channels.trace import Trace
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type

Kept = Mapping[str, Sequence[int] | np.ndarray]  # {group or layer name: indices of the units that stay}


@dataclass(frozen=True, eq=False)
class Member:
    """An axis of a weight blob of which `units[i]` is the group's unit at place i, -1 for another group's channel.

    Each place stands for H·W neighbouring columns where `block` (an InnerProduct that reads a picture).
    """

    layer: str
    blob: int
    axis: int
    role: str
    units: np.ndarray
    block: bool


@dataclass(frozen=True, eq=False)
class Group:
    """`size` units, numbered from 0, of which each is removed or kept as a whole: usually the channels of one layer.

    `makers`: the layers whose filters make the channels. `carriers`: those and the depthwise convolutions, norms,
    scales and slopes on the way. `readers`: the layers that lose input channels. `points`: the (layer, top) after whose
    forward the finished channels are seen, behind norms and neurons and behind the sum they are part of.
    `reason` says why the group cannot be pruned, '' if it can; `caveats` where removing is more than masking.
    """

    name: str
    size: int
    makers: tuple[str, ...]
    carriers: tuple[str, ...]
    readers: tuple[str, ...]
    points: tuple[tuple[str, str], ...]
    members: tuple[Member, ...]
    reason: str
    caveats: tuple[str, ...]

    @property
    def prunable(self) -> bool:
        """Whether channels can be removed."""
        return not self.reason

    @property
    def is_trunk(self) -> bool:
        """Whether several layers make the channels together, as along a residual trunk."""
        return len(self.makers) > 1


class Groups:
    """The channel groups of nets that share layers by name (train and deploy), in the order of their first layers.

    Iteration, `len` and `groups[i]` go over all of them, `of(layer)` finds the one a layer makes or carries, and
    `prunable()` lists those that can lose channels. `group_of` and `unit_of` tell for each channel id of `trace` its
    group's index (-1: none) and its unit within.
    """

    def __init__(self, *nets: caffe_pb2.NetParameter) -> None:
        self.trace = follow(*nets)
        self.group_of, self.unit_of = _partition(self.trace)
        self._groups = build_groups(self.trace, self.group_of, self.unit_of)
        self._by_layer: dict[str, Group] = {}
        for group in self._groups:
            for layer in group.carriers:
                self._by_layer.setdefault(layer, group)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, index: int) -> Group:
        return self._groups[index]

    def prunable(self) -> list[Group]:
        """The groups that can lose channels."""
        return [group for group in self if group.prunable]

    def of(self, layer: str) -> Group:
        """The prunable group whose channels a layer makes or carries; SlimError if there is none, saying why."""
        group = self._by_layer.get(layer)
        if group is not None and group.prunable:
            return group
        names = ', '.join(group.name for group in self.prunable()) or 'none, as no layer can be pruned'
        if layer not in self.trace.layers:
            raise SlimError(f"no layer '{layer}' in the net, expected one of: {names}")
        why = group.reason if group else f'it makes no channels ({self.trace.layers[layer].type})'
        raise SlimError(f"layer '{layer}' cannot be pruned: {why}; expected one of: {names}")

    def units_of(self, group: Group, layer: str, top: str) -> np.ndarray:
        """The group's unit at each place along axis 1 of this version of a blob, -1 for other groups' channels."""
        return self.units_among(group, self.trace.tops[layer, top].ids)

    def units_among(self, group: Group, ids: np.ndarray) -> np.ndarray:
        """The group's unit of each channel id, -1 for other groups' channels."""
        return np.where(self.group_of[ids] == self._groups.index(group), self.unit_of[ids], -1)

    def keep_mask(self, kept: Kept) -> np.ndarray:
        """A bool per channel id: whether it stays under {group or layer name: kept unit indices}."""
        mask = np.ones(len(self.unit_of), bool)
        asked: dict[str, str] = {}
        for name, indices in kept.items():
            group = self.of(name)
            if group.name in asked:
                raise SlimError(
                    f"layers '{asked[group.name]}' and '{name}' lose their channels together, expected one of them"
                )
            asked[group.name] = name
            stays = np.zeros(group.size, bool)
            stays[_checked(name, indices, group.size)] = True
            own = self.group_of == self._groups.index(group)
            mask[own] = stays[self.unit_of[own]]
        return mask


def _checked(name: str, asked: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    """Kept indices as an array, after the checks that they are a sensible subset of range(size)."""
    indices = np.asarray(asked)
    if not indices.size:
        raise SlimError(f"layer '{name}': no channel would be left, expected at least one of {size} to be kept")
    whole = np.issubdtype(indices.dtype, np.integer) and indices.ndim == 1
    if not whole or indices.min() < 0 or indices.max() >= size or len(np.unique(indices)) < indices.size:
        raise SlimError(f"layer '{name}': kept channels are to be different whole numbers from 0 to {size - 1}")
    return indices


def _partition(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """(group, unit within the group) of each channel id.

    Tied channels are one unit; units of which one layer makes several are one group.
    """
    units = _components(trace.count, trace.ties)
    siblings = [(flow.ids[:1].repeat(len(flow.ids)), flow.ids) for flow in trace.made.values()]
    groups = _components(trace.count, [*trace.ties, *siblings])
    made = np.unique(groups[np.concatenate([flow.ids for flow in trace.made.values()])]) if trace.made else groups[:0]
    unit_of = np.zeros(trace.count, int)
    for group in range(groups.max(initial=-1) + 1):
        own = groups == group
        unit_of[own] = np.unique(units[own], return_inverse=True)[1]
    index = np.full(groups.max(initial=-1) + 1, -1)
    index[made] = np.arange(len(made))
    return index[groups], unit_of


def _components(count: int, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Labels 0, 1, … of the connected components among `count` ids, in the order of their first ids."""
    if not count:
        return np.zeros(0, int)
    ends = [np.concatenate([pair[side] for pair in pairs]) if pairs else np.zeros(0, int) for side in (0, 1)]
    graph = coo_matrix((np.ones(len(ends[0]), bool), ends), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def build_groups(trace: Trace, group_of: np.ndarray, unit_of: np.ndarray) -> list[Group]:
    """The Group records of a trace whose ids have been partitioned, by group index."""
    members = _members(trace, group_of, unit_of)
    alone, some_alone = _lone(trace, group_of, unit_of)
    pins, caveats = _texts([*trace.pins, *alone], group_of), _texts([*trace.caveats, *some_alone], group_of)
    return [
        _group(trace, members[i], group_of == i, unit_of, pins.get(i, [''])[0], tuple(caveats.get(i, ())))
        for i in range(group_of.max(initial=-1) + 1)
    ]


def _group(
    trace: Trace, members: Sequence[Member], own: np.ndarray, unit_of: np.ndarray, reason: str, caveats: tuple[str, ...]
) -> Group:
    makers = [layer for layer, flow in trace.made.items() if own[flow.ids[0]]]
    carriers = dict.fromkeys((*makers, *(m.layer for m in members if m.role == 'output')))
    readers = dict.fromkeys(m.layer for m in members if m.role == 'input')
    filters = [layer for layer in carriers if not layer_type(trace.layers[layer]).per_channel]
    points = dict.fromkeys(
        _finished(trace, layer, top)
        for layer in filters
        for top in trace.layers[layer].top
        if (layer, top) in trace.tops
    )
    order = list(trace.layers).index
    return Group(
        makers[0],
        int(unit_of[own].max()) + 1,
        tuple(makers),
        tuple(sorted(carriers, key=order)),
        tuple(readers),
        tuple(points),
        tuple(members),
        reason,
        caveats,
    )


def _members(trace: Trace, group_of: np.ndarray, unit_of: np.ndarray) -> list[list[Member]]:
    """Per group the axes of weight blobs that run over its channels."""
    members: list[list[Member]] = [[] for _ in range(group_of.max(initial=-1) + 1)]
    for axis in trace.axes.values():
        found = group_of[axis.ids]
        for group in np.unique(found[found >= 0]):
            units = np.where(found == group, unit_of[axis.ids], -1)
            members[group].append(Member(axis.layer, axis.blob, axis.axis, axis.role, units, axis.block))
    return members


def _texts(notes: Sequence[tuple[np.ndarray, str]], group_of: np.ndarray) -> dict[int, list[str]]:
    """{group index: its notes without repeats}."""
    texts: dict[int, dict[str, None]] = {}
    for ids, text in notes:
        for group in np.unique(group_of[ids]):
            texts.setdefault(int(group), {})[text] = None
    return {group: list(found) for group, found in texts.items()}


def _lone(
    trace: Trace, group_of: np.ndarray, unit_of: np.ndarray
) -> tuple[list[tuple[np.ndarray, str]], list[tuple[np.ndarray, str]]]:
    """Two lists of (channel ids, note) on groups of which every unit, or only some, is all there is of some blob."""
    lone = lone_channels(trace)
    whole, partly = [], []
    for group in np.unique(group_of[list(lone)]) if lone else ():
        own = {int(unit_of[channel]): channel for channel in lone if group_of[channel] == group}
        ids, size = np.flatnonzero(group_of == group), int(unit_of[group_of == group].max()) + 1
        first = lone[own[min(own)]]
        if len(own) == size:
            whole.append((ids, first))
        else:
            names = f'channel{"s" if len(own) > 1 else ""} {", ".join(map(str, sorted(own)))}'
            partly.append((ids, f'but for {names}: {first}'))
    return whole, partly


def _finished(trace: Trace, layer: str, top: str) -> tuple[str, str]:
    """The (layer, top) where channels are finished: past what is done to each of them alone, and a sum."""
    while True:
        readers = trace.readers.get((layer, top), ())
        reader = trace.layers[next(iter(readers))] if len(readers) == 1 else None
        if reader is None or not _is_in_line(reader):
            return layer, top
        layer, top = reader.name, reader.top[0]


def _is_in_line(layer: caffe_pb2.LayerParameter) -> bool:
    return (layer_type(layer).per_channel or layer.type == 'Eltwise') and len(layer.top) > 0
