"""What a changed model has lost, as a function (Model) -> number, greater for worse."""

import tempfile

from sphereslim.evaluation.output_distance import OutputDistance
from sphereslim.evaluation.verification import Verification
from sphereslim.net.opened import open_net


class OutputShift:
    """How far the outputs of a Model lie from those of the original `model` on the pictures of a feed, 0 to 2."""

    def __init__(self, model, feed):
        net = open_net(model.net, model.weights)
        self._distance = OutputDistance(net, feed, net.outputs[:1])

    def __call__(self, model):
        return self._distance(open_net(model.net, model.weights))


class AccuracyLoss:
    """1 − verification accuracy of a Model on pairs, 0 to 1."""

    def __init__(self, pairs, folder, form=None, batch=32):
        self._accuracy = Verification(pairs, folder, form, batch=batch)

    def __call__(self, model):
        with tempfile.TemporaryDirectory() as folder:
            return 1 - self._accuracy(*model.save(folder)) / 100
