"""What every criterion is: a way to measure a group and a way to choose from what was measured."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


def highest(scores: np.ndarray, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """The `keep` indices of the highest scores, ascending, and the scores; of equal ones the first stay."""
    scores = np.asarray(scores, np.float64)
    return np.sort(np.argsort(-scores, kind='stable')[:keep]), scores


@dataclass(frozen=True)
class Criterion:
    """`measure(context, **options)` gives the evidence, `choose(evidence, keep)` the (kept indices, scores).

    The evidence is the same for every `keep`, so that one measurement serves several rates. `pairs` says that channels
    leave two by two; `options` names the options of `measure` with their defaults. `needs_pictures`: the net has to run
    on some; `needs_gradients`: and backward, which a net without a loss does only with `force_backward`.
    """

    name: str
    source: str
    measure: Callable[..., Any]
    choose: Callable[[Any, int], tuple[np.ndarray, np.ndarray]] = highest
    pairs: bool = False
    needs_pictures: bool = True
    needs_gradients: bool = False
    options: dict[str, int] = field(default_factory=dict)
