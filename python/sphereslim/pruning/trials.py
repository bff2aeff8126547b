"""Cuts tried on a running net: what each would do to the net's output, before anything is cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sphereslim.channels.groups import Group, Member
from sphereslim.criteria.obs import System, without
from sphereslim.data.feed import Feed
from sphereslim.evaluation.output_distance import cosine_distance
from sphereslim.net.opened import open_net
from sphereslim.pruning.model import Model
from sphereslim.sampling.linear_layer import LinearLayer
from sphereslim.sampling.sampler import Sampler


class Trials:
    """A Model on the pictures of a feed, and the `reference` outputs (pictures, dimensions) that it should give.

    A cut is tried by weights of zero for what leaves in the layers that read it, with the others' refitted where that
    is at hand. The net goes on from the first of these layers; what it reads is kept for every one of `groups`.
    """

    def __init__(self, model: Model, groups: Sequence[Group], feed: Feed, reference: np.ndarray) -> None:
        self._trace, self._reference = model.groups.trace, reference
        self._sampler = Sampler(open_net(model.net, model.weights), feed)
        order = list(self._sampler.net._layer_names)
        self._first = {group.name: min(group.readers, key=order.index) for group in groups}
        self._states = list(self._sampler.states(sorted(set(self._first.values()))))

    def loss(self, group: Group, systems: Sequence[System], kept: np.ndarray) -> float:
        """Mean 1 − cosine of the outputs, 0 to 2, when only the units `kept` of a group stay.

        `systems` are what `criteria.obs` measured of the group.
        """
        net = self._sampler.net
        before = {name: [np.array(blob.data) for blob in blobs] for name, blobs in net.params.items()}
        for member in group.members:
            if (member.role, member.blob) == ('input', 0):
                self._cut(member, [system for system in systems if system.reader == member.layer], kept)
        first = self._first[group.name]
        outputs = [self._sampler.outputs_from(first, state[first])[0] for state in self._states]
        for name, values in before.items():
            for blob, value in zip(net.params[name], values):
                blob.data[...] = value
        rows = np.concatenate([output.reshape(len(output), -1) for output in outputs])
        return cosine_distance(rows.astype(np.float64), self._reference)

    def _cut(self, member: Member, systems: Sequence[System], kept: np.ndarray) -> None:
        """Let the layer of a group's Member read the units `kept` only."""
        net = self._sampler.net
        if systems:
            LinearLayer(self._trace, member.layer, net).store([without(system, kept) for system in systems])
            return
        weights = net.params[member.layer][0].data
        gone = (member.units >= 0) & ~np.isin(member.units, kept)
        rows = np.moveaxis(weights, member.axis, 0)
        rows[np.repeat(gone, len(rows) // len(gone))] = 0


def outputs_of(model: Model, feed: Feed) -> np.ndarray:
    """The first output of a Model, (pictures, dimensions) as float64; SlimError where values are no numbers."""
    net = open_net(model.net, model.weights)
    sampler = Sampler(net, feed)
    last = sampler.after(net._layer_names[-1], net.outputs[0])
    rows = np.concatenate([blob.reshape(len(blob), -1) for (blob,) in sampler.blobs([last])])
    return np.asarray(rows, np.float64)
