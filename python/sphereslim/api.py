"""The functions of the front door: networks and weights as messages, pictures as paths.

import sphereslim as slim

net, weights = slim.read_net('deploy.prototxt'), slim.read_weights('net.caffemodel')
kept = slim.select(net, weights, {'conv1': 0.5}, criterion='l1')
(small,), cut = slim.prune([net], weights, kept)
slim.write_net('small.prototxt', small)
slim.write_weights('small.caffemodel', cut)
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune
from sphereslim.compression import run as compression
from sphereslim.compression.budgets import Budget, Budgets
from sphereslim.compression.request import Request
from sphereslim.criteria import criterion as find_criterion
from sphereslim.data.feed import feed_for
from sphereslim.data.pairs import pair_sets
from sphereslim.data.preparation import InputForm
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.evaluation import verification
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import read_net
from sphereslim.net.prototxt import write_prototxt as write_net
from sphereslim.net.weights import read_weights, write_weights
from sphereslim.net.weights_check import check_weights
from sphereslim.pruning import model, selection
from sphereslim.quantization.quantize_net import quantize_net
from sphereslim.quantization.quantized_net import QuantizedNet
from sphereslim.rewrite.fold import fold
from sphereslim.sampling.sampler import Sampler

__all__ = [
    'Groups',
    'InputForm',
    'SlimError',
    'compress',
    'evaluate',
    'fold',
    'prune',
    'quantize',
    'read_net',
    'read_weights',
    'refit',
    'select',
    'write_net',
    'write_weights',
]


def select(
    net: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter,
    rates: Mapping[str, float],
    criterion: str = 'obs',
    pictures: Sequence[Path] = (),
    form: InputForm | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """{layer: indices of the channels that stay} for {layer: share to keep} of a deploy net.

    `pictures` are what a criterion that looks at activations runs the net on, prepared as `form` says. SlimError for a
    layer that cannot be pruned, and where a criterion needs pictures and gets none.
    """
    chosen, groups = find_criterion(criterion), Groups(net)
    if chosen.needs_pictures and not pictures:
        raise SlimError(f"criterion '{criterion}' runs the net, expected pictures")
    check_weights(weights, groups.trace.axes.values())
    feed = feed_for(net, pictures, form) if chosen.needs_pictures else ()
    sampler = Sampler(open_net(net, weights, backward=chosen.needs_gradients), feed)
    return {
        layer: selection.select(groups, layer, criterion, sampler, rate, seed).kept for layer, rate in rates.items()
    }


def refit(
    net: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter,
    pruned: caffe_pb2.NetParameter,
    pruned_weights: caffe_pb2.NetParameter,
    kept: Mapping[str, np.ndarray],
    pictures: Sequence[Path],
    form: InputForm | None = None,
    seed: int = 0,
) -> caffe_pb2.NetParameter:
    """New weights of a pruned deploy net whose layers behind the cut give what they gave before, by least squares.

    `kept` says what `prune` kept of `net`; no training, the net runs on `pictures`.
    """
    before, after = (model.Model(n, w, Groups(n)) for n, w in ((net, weights), (pruned, pruned_weights)))
    return model.refit(before, after, kept, feed_for(net, pictures, form), seed=seed).weights


def quantize(
    weights: caffe_pb2.NetParameter, bits: int | Mapping[str, int] = 6, scheme: str = 'linear-filter'
) -> QuantizedNet:
    """The weights in 1 to 16 bits each; {layer: bits} with `*` for all others and 32 for a layer that stays as it is.

    `sphereslim.quantization` writes it (`write_quantized`) and makes weights of it again (`dequantize`).
    """
    return quantize_net(weights, bits if isinstance(bits, int) else dict(bits), scheme)


def evaluate(
    net: caffe_pb2.NetParameter | str | Path,
    weights: caffe_pb2.NetParameter | str | Path,
    pairs: str | Path,
    pictures: str | Path,
    form: InputForm | None = None,
    mirror: bool = True,
) -> verification.Result:
    """Verification accuracy of a deploy net on a pairs.txt in LFW's form over the folder `pictures`, in percent.

    Net and weights are messages or files. With `mirror` the features of mirrored pictures count too.
    """
    with tempfile.TemporaryDirectory() as folder:
        deploy, caffemodel = Path(folder, 'deploy.prototxt'), Path(folder, 'weights.caffemodel')
        if isinstance(net, (str, Path)):
            deploy = Path(net)
        else:
            write_net(deploy, net)
        if isinstance(weights, (str, Path)):
            caffemodel = Path(weights)
        else:
            write_weights(caffemodel, weights)
        return verification.evaluate(deploy, caffemodel, pairs, pictures, form=form, mirror=mirror)


def compress(
    deploy: str | Path,
    weights: str | Path,
    images: str | Path,
    out: str | Path,
    *,
    macs: float | None = None,
    parameters: float | None = None,
    size: float | None = None,
    milliseconds: float | None = None,
    keep_accuracy: float | None = None,
    pairs: Sequence[str | Path] = (),
    pictures: Sequence[str | Path] = (),
    form: InputForm | None = None,
    multiple: int = 1,
    train_minutes: float = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Make the net of two files smaller in view of the pictures in `images`, as `sphereslim compress` does.

    Budgets are shares up to 1, or amounts: of MACs, of parameters, of bytes of the quantized file (`size`), of forward
    milliseconds. `keep_accuracy` is the least accuracy in percent on the first of `pairs`, lists over the folders
    `pictures` (one for each, or one for all). Without any, a curve of trade-offs. The files are in the folder `out`;
    `rows` of what is returned holds the figures of every net, `report` the path of the page.
    """
    asked = [None if value is None else _budget(value) for value in (macs, parameters, size, milliseconds)]
    sets = pair_sets(pairs, pictures) if pairs else []
    return compression.compress(
        Request(
            Path(deploy),
            Path(weights),
            Path(images),
            Path(out),
            Budgets(asked[0], asked[1], asked[2], asked[3], keep_accuracy),
            tuple(sets),
            form or InputForm(),
            multiple=multiple,
            train_minutes=train_minutes,
            seed=seed,
        )
    )


def _budget(value: float) -> Budget:
    return Budget(f'{value:g}', *((value, None) if value <= 1 else (None, value)))
