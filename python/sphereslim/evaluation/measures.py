"""Measures of a net and its weights by their files: callables (prototxt, caffemodel) -> float.

So that any evaluation can take their place, such as `Verification` or `Top1`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.errors import SlimError
from sphereslim.evaluation.output_distance import OutputDistance
from sphereslim.net.opened import load_net

Measure = Callable[[Any, Any], float]  # of the paths of a prototxt and a caffemodel


class OutputMeasure:
    """An OutputDistance to the weights first loaded; the prototxt measured is always the one given first.

    `feed` is a function that returns the batches {input blob: array} each time it is called.
    """

    def __init__(
        self, prototxt: str | Path, weights: str | Path, feed: Callable[[], Iterable[Mapping[str, np.ndarray]]]
    ) -> None:
        self.prototxt = str(prototxt)
        self.distance = OutputDistance(load_net(self.prototxt, weights), feed)

    def __call__(self, prototxt: str | Path, weights: str | Path) -> float:
        if str(prototxt) != self.prototxt:
            raise SlimError(f'{prototxt}: outputs are compared for {self.prototxt}')
        self.distance.net.copy_from(str(weights))
        return self.distance()


def accuracy_of_test_phase(iterations: int, top: str = 'accuracy') -> Measure:
    """A measure: mean of the scalar `top` over `iterations` batches of the TEST phase of a prototxt with its data."""

    def measure(prototxt: str | Path, weights: str | Path) -> float:
        net = load_net(prototxt, weights)
        if top not in net.blobs:
            raise SlimError(f'{prototxt}: no blob {top} in its TEST phase')
        return float(np.mean([np.array(net.forward()[top]).mean() for _ in range(iterations)]))

    return measure


def named_measure(text: str) -> Measure:
    """The callable that `package.module:function` names."""
    module, _, function = text.partition(':')
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError):
        raise SlimError(f'{text}: expected module:function, a callable of (prototxt, caffemodel)') from None
