"""What a criterion is told, and how values per channel of a blob become values per unit of the group."""

from dataclasses import dataclass

import numpy as np

from sphereslim.activations import Sampler
from sphereslim.errors import RequestError
from sphereslim.groups import Group, Groups


@dataclass(frozen=True)
class Context:
    """The group to judge, the net with its sampled batches, and the random numbers to use."""

    groups: Groups
    group: Group
    sampler: Sampler
    rng: np.random.Generator

    def stops(self):
        """[(stop, unit per channel)] of the blobs where the group's finished channels are seen."""
        return [(self.sampler.after(layer, top), self.groups.units_of(self.group, layer, top))
                for layer, top in self.group.points]

    def filters(self):
        """[(weights as (channels, numbers), unit per channel)] of the layers that make the group's channels.

        The weights of one channel are its filter, bias left out.
        """
        found = []
        for member in self.group.members:
            if member.role == 'output' and member.blob == 0 and member.layer in self.group.makers:
                weights = np.array(self.sampler.net.params[member.layer][0].data, np.float64)
                rows = np.moveaxis(weights, member.axis, 0)
                found.append((rows.reshape(len(member.units), -1), member.units))
        return found

    def per_unit(self, values, units):
        """Sums of values per channel over the channels of each unit; `values` has channels as its last axis."""
        out = np.zeros((*values.shape[:-1], self.group.size))
        np.add.at(out, (..., units[units >= 0]), values[..., units >= 0])
        return out


def combine(parts):
    """One score per unit from the scores at several layers, each scaled to length one so that none outweighs another.

    The scores of a single layer stay as they are.
    """
    if not parts:
        raise RequestError('the group has no layer to take scores from')
    if len(parts) == 1:
        return parts[0]
    return sum(part / (np.linalg.norm(part) or 1.0) for part in parts)


def spatial(blob):
    """A blob (N, C, …) as (N, C, positions)."""
    return blob.reshape(*blob.shape[:2], -1)
