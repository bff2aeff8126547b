"""Calibration: from a trained net and pictures to a net, its weights and the ranges that a reader in int8 needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sphereslim.data.feed import Feed
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.evaluation.output_distance import cosine_distance, output_rows
from sphereslim.files import ResultsFile
from sphereslim.int8.calibration import STEPS, Int8Layer
from sphereslim.int8.points import int8_layers, rounded_blobs
from sphereslim.int8.prepare import correct_biases, equalize, thresholds
from sphereslim.int8.ranges import Range, Values, chosen_range, extremes, measure
from sphereslim.int8.simulate import simulated
from sphereslim.net.linear_weights import LinearWeights
from sphereslim.net.opened import open_net
from sphereslim.net.weights import weight_layers
from sphereslim.rewrite.fold import fold
from sphereslim.rewrite.out_of_place import out_of_place
from sphereslim.sampling.sampler import Sampler

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass
class Prepared:
    """A folded net out of place with its weights, the reader it is for, and the range of every blob it may round."""

    net: caffe_pb2.NetParameter
    weights: caffe_pb2.NetParameter
    reader: str
    ranges: dict[str, Range]

    def blobs(self, layers: Sequence[str]) -> dict[str, Range]:
        """{blob: (low, high)} of those that are rounded if these layers multiply in int8."""
        return {blob: self.ranges[source] for blob, source in rounded_blobs(self.net, layers, self.reader).items()}

    def simulated(self, layers: Sequence[str], learn: bool = False) -> caffe_pb2.NetParameter:
        """The net that computes what the reader computes if these layers multiply in int8, see `simulated`."""
        return simulated(self.net, self.blobs(layers), layers, self.reader, learn)

    def int8_layers(self, layers: Sequence[str]) -> dict[str, Int8Layer]:
        """What the calibration file says of these layers."""
        stored, by_name = weight_layers(self.weights), {layer.name: layer for layer in self.net.layer}
        return {
            name: Int8Layer(by_name[name].bottom[0], thresholds(LinearWeights(by_name[name], stored[name])).tolist())
            for name in layers
        }


@dataclass
class Choice:
    """The layers that multiply in int8, those that stay in float32 with what each costs alone, and what is lost.

    Losses are means of 1 − cos of the outputs; `whole` is that of all layers in int8.
    """

    layers: list[str]
    whole: float
    loss: float
    float_layers: dict[str, float | None] = field(default_factory=dict)


def prepare(
    net: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter,
    feed: Feed,
    reader: str = 'onnxruntime',
    method: str = 'percentile',
    equalized: bool = True,
    corrected: bool = True,
    progress: Progress = iter,
) -> Prepared:
    """A deploy net folded and made ready for int8 on the pictures of `feed`; the arguments stay.

    `method` is one of `ranges.METHODS`; `equalized` makes ranges of channels alike, `corrected` moves biases by what
    rounding the filters takes from the mean outputs. SlimError where no layer can multiply in int8.
    """
    folding = fold(net, weights)
    net, weights = out_of_place(folding.net), folding.weights
    layers = int8_layers(net)
    if not layers:
        raise SlimError(f"net '{net.name}': no layer can multiply in int8, expected convolutions or inner products")
    if equalized:
        equalize(net, weights, _values(net, weights, feed, extremes, progress))
    values = _values(net, weights, feed, measure, progress)
    if corrected:
        correct_biases(net, weights, values)
    sources = set(rounded_blobs(net, layers, reader).values()) | {
        layer.bottom[0] for layer in net.layer if layer.name in layers
    }
    ranges = {blob: chosen_range(values[blob], method, STEPS[reader]) for blob in values if blob in sources}
    return Prepared(net, weights, reader, ranges)


def _values(
    net: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter,
    feed: Feed,
    how: Callable[..., list[Values]],
    progress: Progress,
) -> dict[str, Values]:
    """{blob: Values} of all that are not outputs."""
    sampler = Sampler(open_net(net, weights), feed, progress=progress)
    read = {bottom for layer in net.layer for bottom in layer.bottom}
    stops = [sampler.after(layer.name, top) for layer in net.layer for top in layer.top if top in read]
    return dict(zip([stop.blob for stop in stops], how(sampler, stops)))


def choose(
    prepared: Prepared,
    feed: Feed,
    floor: float,
    kept: ResultsFile | None = None,
    always_float: Sequence[str] = (),
    progress: Progress = iter,
) -> Choice:
    """The layers to multiply in int8, so that outputs on the pictures of `feed` lose no more than `floor`.

    While more is lost, the layer that costs most by itself goes to float32. `kept` holds what each layer costs, so that
    a run that was stopped goes on. `always_float` are layers that are not asked for.
    """
    known = kept.results if kept else {}
    reference = output_rows(open_net(prepared.net, prepared.weights), feed)

    def loss(layers: Sequence[str]) -> float:
        simulation = open_net(prepared.simulated(layers), prepared.weights)
        return cosine_distance(output_rows(simulation, feed), reference)

    def cost(layer: str) -> float:
        return float(kept.result(layer, lambda: loss([layer]))) if kept else loss([layer])

    layers = [name for name in int8_layers(prepared.net) if name not in always_float]
    whole = loss(layers)
    choice = Choice(layers, whole, whole, dict.fromkeys(always_float))
    if whole <= floor:
        return choice
    todo = [name for name in layers if name not in known]
    costs = {name: cost(name) for name in progress(todo)} | {name: cost(name) for name in layers if name in known}
    for name in sorted(layers, key=lambda name: -costs[name]):
        choice.layers = [other for other in choice.layers if other != name]
        choice.float_layers[name] = costs[name]
        choice.loss = loss(choice.layers) if choice.layers else 0.0
        if choice.loss <= floor:
            break
    return choice
