"""Fewer bits: the weights of the result in a `.qcaffemodel`, of a size in bytes or with so many bits each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sphereslim.data.feed import Feed
from sphereslim.engine import caffe_pb2
from sphereslim.evaluation.output_distance import OutputDistance
from sphereslim.files import file_digest, read_bytes, read_json, write_bytes, write_json
from sphereslim.net.opened import open_net
from sphereslim.net.weights import write_weights
from sphereslim.progress import bar
from sphereslim.pruning.model import Model
from sphereslim.quantization.bit_allocation import fit_budget, measure_costs, quantizable_layers
from sphereslim.quantization.bits import FILTER, HALF
from sphereslim.quantization.by_pictures import RoundedAlone, RoundedTogether
from sphereslim.quantization.file import write_quantized
from sphereslim.quantization.quantize_net import dequantize, quantize_net
from sphereslim.quantization.quantized_net import QuantizedNet

BITS = (6, 7, 8)  # where no size is asked for: the first, which loses next to nothing, and more to keep an accuracy
WIDTHS = range(3, 9)  # to choose from for a size
CODING = 'lzma'
COMPACT, DEQUANTIZED, BITS_FILE = 'weights.qcaffemodel', 'dequantized.caffemodel', 'bits.json'
ROUNDING_BAR = partial(bar, desc='rounding layers')


def quantized(model: Model, deploy: Path, feed: Feed, seed: int, bits: int) -> QuantizedNet:
    """The weights in so many bits each, vectors in half precision, rounded in view of the pictures of a feed."""
    outline = _Outline(deploy)
    return RoundedTogether(outline, model, feed, seed, ROUNDING_BAR)(model.weights, {'*': bits})


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

    outline = _Outline(files[0])
    together = RoundedTogether(outline, model, feed, seed, ROUNDING_BAR)
    return fit_budget(costs, size, CODING, partial(outline, model.weights), partial(together, model.weights))[0]


class _Outline:
    """Called with weights and bits, a QuantizedNet to the nearest level, which holds the prototxt too."""

    def __init__(self, deploy: Path) -> None:
        self._deploy = read_bytes(deploy)

    def __call__(self, weights: caffe_pb2.NetParameter, bits: Mapping[str, int]) -> QuantizedNet:
        result = quantize_net(weights, bits, FILTER, vectors=HALF)
        result.deploy = self._deploy
        return result


def take_bits(make: Callable[[], QuantizedNet], kept: Path, folder: Path) -> dict[str, int]:
    """Bring the files of a QuantizedNet into `folder`, from the folder `kept`, which has them or gets them made.

    weights.qcaffemodel, dequantized.caffemodel, which any Caffe reads, and bits.json: {layer: bits}, which is returned.
    """
    if not (kept / BITS_FILE).is_file():
        _write_bits(make(), kept)
    for name in (COMPACT, DEQUANTIZED, BITS_FILE):
        write_bytes(folder / name, read_bytes(kept / name))
    return dict(read_json(kept / BITS_FILE))


def _write_bits(net: QuantizedNet, folder: Path) -> None:
    """Write the three files, bits.json last: where it is, the others are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    write_quantized(net, folder / COMPACT, CODING)
    write_weights(folder / DEQUANTIZED, dequantize(net))
    numbers = {layer.name: layer.blobs[0].dictionary for layer in net.layers if layer.blobs}
    bits = {name: net.dictionaries[number].bits for name, number in numbers.items() if number is not None}
    write_json(folder / BITS_FILE, bits)
