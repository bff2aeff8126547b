"""What a changed model has lost, as a function (Model) -> number, greater for worse."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sphereslim.data.feed import Feed
from sphereslim.data.preparation import InputForm
from sphereslim.evaluation.output_distance import OutputDistance
from sphereslim.evaluation.verification import Verification
from sphereslim.net.opened import open_net
from sphereslim.pruning.model import Model


class OutputShift:
    """How far the outputs of a Model lie from those of the original `model` on the pictures of a feed, 0 to 2."""

    def __init__(self, model: Model, feed: Feed) -> None:
        net = open_net(model.net, model.weights)
        self._distance = OutputDistance(net, feed, net.outputs[:1])

    def __call__(self, model: Model) -> float:
        return self._distance(open_net(model.net, model.weights))


class AccuracyLoss:
    """1 − verification accuracy of a Model on pairs, 0 to 1."""

    def __init__(
        self,
        pairs: str | Path,
        folder: str | Path,
        form: InputForm | None = None,
        mirror: bool = False,
        batch: int = 32,
    ) -> None:
        self._accuracy = Verification(pairs, folder, form, mirror, batch)

    def __call__(self, model: Model) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return 1 - self._accuracy(*model.save(folder)) / 100
