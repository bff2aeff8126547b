"""Two nets on the same pairs: what one loses against the other, how sure that is, and whether it may be chance.

Most pairs are judged alike by a net and by what was made of it, so that their difference is known far better than
either accuracy. Only the pairs count that one of the two alone judges right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from sphereslim.errors import SlimError
from sphereslim.report.cells import loss_text


@dataclass(frozen=True)
class PairedLoss:
    """What a net loses against another one on the same pairs.

    `loss`: points of accuracy, negative for a gain; `error`: its standard error over the pairs; `p`: how likely as
    large a loss or gain is by chance (the exact test of McNemar 1947); `only_before` and `only_after`: how many pairs
    the other one alone, and this one alone, judges right.
    """

    loss: float
    error: float
    p: float
    only_before: int
    only_after: int

    def __str__(self) -> str:
        return f'{loss_text(self.loss, self.error)} points'

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def paired_loss(before: np.ndarray, after: np.ndarray) -> PairedLoss:
    """The PairedLoss between two arrays (pairs) of bools, whether each pair is judged right.

    The standard error is that of the mean of n differences of -1, 0 or 1, with n - 1 in the variance.
    """
    if before.shape != after.shape:
        raise SlimError(f'{len(after)} pairs, expected the {len(before)} that they are compared on')
    differences = before.astype(np.int64) - after
    number = len(differences)
    error = np.std(differences, ddof=1) / np.sqrt(number) if number > 1 else 0.0
    lost, gained = int((differences > 0).sum()), int((differences < 0).sum())
    p = float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0
    return PairedLoss(100 * float(differences.mean()), 100 * float(error), p, lost, gained)


def loss_against(before: Mapping[str, Any], after: Mapping[str, Any]) -> PairedLoss | None:
    """The PairedLoss between two stored results (`Result.as_dict`); None where one of them holds no single pairs.

    SlimError where they are of different pairs.
    """
    if not (before.get('right') and after.get('right')):
        return None
    if before.get('pairs_digest') != after.get('pairs_digest'):
        raise SlimError(f'{after["pairs"]} pairs that are not the {before["pairs"]} that they are compared with')
    return paired_loss(unpack_right(before['right'], before['pairs']), unpack_right(after['right'], after['pairs']))


def lost_error(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    """The paired standard error of what a stored result lost against another, points; None where it is not known."""
    found = loss_against(before, after)
    return found.error if found else None


def lost_text(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Points of accuracy that a stored result lost, with the paired standard error where it is known."""
    return loss_text(before['accuracy'] - after['accuracy'], lost_error(before, after))


def pack_right(right: np.ndarray) -> str:
    """An array (pairs) of bools as hexadecimal digits, four pairs in each, the first pair in the highest bit."""
    return np.packbits(right).tobytes().hex()


def unpack_right(text: str, pairs: int) -> np.ndarray:
    """The array (pairs) of bools that `pack_right` made digits of; SlimError where they are of another number."""
    try:
        octets = np.frombuffer(bytes.fromhex(text), np.uint8)
    except ValueError:
        octets = np.empty(0, np.uint8)
    if len(octets) != (pairs + 7) // 8:
        raise SlimError(f"'{text[:20]}…' says nothing of {pairs} pairs, expected {2 * ((pairs + 7) // 8)} digits")
    return np.unpackbits(octets, count=pairs).astype(bool)
