"""Fewer bits: the weights of the result in a `.qcaffemodel`, of a size in bytes or with so many bits each."""

from __future__ import annotations

from pathlib import Path

from sphereslim.data.feed import Feed
from sphereslim.evaluation.output_distance import OutputDistance
from sphereslim.files import file_digest, read_bytes
from sphereslim.net.opened import open_net
from sphereslim.net.weights import write_weights
from sphereslim.progress import bar
from sphereslim.pruning.model import Model
from sphereslim.quantization.bit_allocation import fit_budget, measure_costs, quantizable_layers
from sphereslim.quantization.bits import FILTER, HALF
from sphereslim.quantization.by_pictures import RoundedAlone, round_by_pictures
from sphereslim.quantization.file import write_quantized
from sphereslim.quantization.quantize_net import dequantize, quantize_net
from sphereslim.quantization.quantized_net import QuantizedNet

BITS = 6  # where no size is asked for: next to nothing is lost
WIDTHS = range(3, 9)  # to choose from for a size
CODING = 'lzma'


def quantized(model: Model, deploy: Path, feed: Feed, seed: int) -> QuantizedNet:
    """The weights in BITS each, vectors in half precision, rounded in view of the pictures of a feed."""
    result = quantize_net(model.weights, BITS, FILTER, vectors=HALF)
    result.deploy = read_bytes(deploy)
    round_by_pictures(result, model, feed, seed=seed, progress=lambda names: bar(names, desc='rounding'))
    return result


def quantized_to(
    size: int, model: Model, files: tuple[Path, Path], feed: Feed, test: Feed, seed: int, folder: Path
) -> QuantizedNet:
    """The weights in at most `size` bytes, the bits of each layer by what they cost in distances of outputs on `test`.

    `files` are the prototxt and the caffemodel of `model`; what is measured is kept in costs.json in `folder`.
    """
    net = open_net(model.net, model.weights)
    layers = quantizable_layers(model.weights, FILTER)
    costs = measure_costs(
        model.weights,
        OutputDistance(net, test, net.outputs[:1]),
        layers,
        WIDTHS,
        CODING,
        RoundedAlone(model, feed, HALF, seed=seed),
        folder / 'costs.json',
        {'files': file_digest(*files), 'rounding': 'second-order'},
        lambda todo: bar(todo, desc='layers x bits'),
    )

    def outline(bits: dict[str, int]) -> QuantizedNet:
        result = quantize_net(model.weights, bits, FILTER, vectors=HALF)
        result.deploy = read_bytes(files[0])
        return result

    def build(bits: dict[str, int]) -> QuantizedNet:
        result = outline(bits)
        round_by_pictures(result, model, feed, seed=seed, progress=lambda names: bar(names, desc='rounding'))
        return result

    return fit_budget(costs, size, CODING, outline, build)[0]


def write_bits(net: QuantizedNet, folder: Path) -> dict[str, int]:
    """Write weights.qcaffemodel, and as dequantized.caffemodel what any Caffe reads; {layer: bits}."""
    write_quantized(net, folder / 'weights.qcaffemodel', CODING)
    write_weights(folder / 'dequantized.caffemodel', dequantize(net))
    numbers = {layer.name: layer.blobs[0].dictionary for layer in net.layers if layer.blobs}
    return {name: net.dictionaries[number].bits for name, number in numbers.items() if number is not None}
