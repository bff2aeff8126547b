"""What a criterion is told, and how values per channel of a blob become values per unit of the group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sphereslim.channels.groups import Group, Groups
from sphereslim.errors import SlimError
from sphereslim.sampling.sampler import Sampler, Stop


@dataclass(frozen=True)
class Context:
    """The group to judge, the net with its sampled batches, and the random numbers to use."""

    groups: Groups
    group: Group
    sampler: Sampler
    rng: np.random.Generator

    def stops(self) -> list[tuple[Stop, np.ndarray]]:
        """[(stop, unit per channel)] of the blobs where the group's finished channels are seen."""
        return [
            (self.sampler.after(layer, top), self.groups.units_of(self.group, layer, top))
            for layer, top in self.group.points
        ]

    def filters(self) -> list[np.ndarray]:
        """The filters of every layer that makes the group's channels, biases left out, as matrices (units, weights).

        A unit of several channels has their filters side by side, one that a layer does not make has zeros.
        """
        members = [m for m in self.group.members if (m.role, m.blob) == ('output', 0) and m.layer in self.group.makers]
        return [_unit_rows(np.moveaxis(self.weights(m.layer), m.axis, 0), m.units, self.group.size) for m in members]

    def weights(self, layer: str) -> np.ndarray:
        """The weights of a layer, float64."""
        return np.array(self.sampler.net.params[layer][0].data, np.float64)

    def per_unit(self, values: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Sums of values per channel over the channels of each unit; `values` has channels as its last axis."""
        out = np.zeros((*values.shape[:-1], self.group.size))
        at: Any = (..., units[units >= 0])
        np.add.at(out, at, values[..., units >= 0])
        return out


def _unit_rows(channels: np.ndarray, units: np.ndarray, size: int) -> np.ndarray:
    rows = channels.reshape(len(units), -1)
    order = np.argsort(units, kind='stable')
    order = order[units[order] >= 0]
    first = np.searchsorted(units[order], units[order])
    within = np.arange(len(order)) - first  # a channel's number within its unit
    out = np.zeros((size, within.max(initial=0) + 1, rows.shape[1]))
    out[units[order], within] = rows[order]
    return out.reshape(size, -1)


def combine(parts: Sequence[np.ndarray]) -> np.ndarray:
    """One score per unit from the scores at several layers, each scaled to length one so that none outweighs another.

    The scores of a single layer stay as they are.
    """
    if not parts:
        raise SlimError('the group has no layer to take scores from')
    if len(parts) == 1:
        return parts[0]
    return np.asarray(sum(part / (np.linalg.norm(part) or 1.0) for part in parts))


def spatial(blob: np.ndarray) -> np.ndarray:
    """A blob (N, C, …) as (N, C, positions)."""
    return blob.reshape(*blob.shape[:2], -1)
