"""Least-squares reconstruction: the readers of pruned channels are refitted to what they gave before, without training.

Source: He, Zhang, Sun, Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, the reconstruction step:
inputs as the pruned net gives them, wanted outputs from the whole net, layer after layer. The fit is drawn towards the
weights there were (ridge), so that what the samples say nothing about stays. A layer that ends in a sum is fitted to
make up for what the pruned net's other parts of it lack (`shortcut`). A layer without a bias that only a
BatchNorm reads gets one all the same: it is taken off the BatchNorm's running mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sphereslim.channels.groups import Groups, Kept
from sphereslim.channels.trace import Trace
from sphereslim.engine import caffe
from sphereslim.net.layer_types import layer_type
from sphereslim.pruning.blocks import Block, blocks_of
from sphereslim.pruning.shortcut import shortcut_of
from sphereslim.sampling import least_squares
from sphereslim.sampling.least_squares import Halves, NormalEquations, SampledRows
from sphereslim.sampling.linear_layer import LinearLayer, outputs_of, sharers
from sphereslim.sampling.sampler import Sampler, Stop


@dataclass(frozen=True)
class Fit:
    """From every picture `places` random outputs of a convolution are taken, all of an inner product.

    `ridge` is relative to the mean square of the inputs; None finds one for every layer, by which the fit to half of
    the samples errs least on the other half. A layer of more than LARGEST_SYSTEM inputs is fitted to a
    uniform sample of `rows` of them. The layers of each block are then refitted `together` in so many iterations, see
    `blocks`; of a net that runs backward.
    """

    places: int = 10
    ridge: float | None = None
    rows: int = 2048
    together: int = 0


def readers_of(groups: Groups, kept: Kept) -> list[str]:
    """The layers that can be refitted and lose inputs under {group or layer name: kept indices}, in net order."""
    found = {
        reader
        for name, indices in kept.items()
        if len(indices) < groups.of(name).size
        for reader in groups.of(name).readers
    }
    return [name for name, layer in groups.trace.layers.items() if name in found and layer_type(layer).refittable]


def reconstruct(
    groups: Groups,
    kept: Kept,
    whole: Sampler,
    pruned: Sampler,
    layers: Sequence[str] | None = None,
    fit: Fit | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """Refit `layers` (by default `readers_of`) of the pruned net, in place in its caffe.Net; yields each when done.

    `whole` and `pruned` are Samplers of the net before and after, on the same batches. Each layer takes a pass over
    them, a single batch is gone through once for all layers; `with_params` takes the result into a caffemodel's
    message. Layers with the same parameters are refitted together, at the first of them; they stay as they are where
    each adds something of its own to its outputs.
    """
    fit, rng = fit or Fit(), np.random.default_rng(seed)
    mask, done = groups.keep_mask(kept), set()
    names = readers_of(groups, kept) if layers is None else list(layers)
    runs = {run[0]: run for run in (blocks_of(groups, pruned.net) if fit.together else ()) if set(run) <= set(names)}
    inside = {name for run in runs.values() for name in run}
    for name in names:
        if name in runs:
            yield from _refit_block(groups, runs[name], mask, whole, pruned, fit, rng)
        if name in inside:
            continue
        together = sharers(groups.trace, name, pruned.net)
        if name not in done and _add_alike(groups.trace, together, pruned.net):
            _refit(groups.trace, together, mask, whole, pruned, fit, rng)
        done.update(together)
        yield name


def _refit_block(
    groups: Groups,
    names: Sequence[str],
    mask: np.ndarray,
    whole: Sampler,
    pruned: Sampler,
    fit: Fit,
    rng: np.random.Generator,
) -> Iterator[str]:
    """Refit layer by layer, then all together, and the last one again to what it reads then."""
    block, start = Block(groups, pruned.net, names, rng), None
    for name in names:
        _refit(groups.trace, [name], mask, whole, pruned, fit, rng, partial(block.see, name))
        start = start or pruned.mark()
        yield name
    block.refit(fit.together)
    assert start is not None
    pruned.go_back(start)
    _refit(groups.trace, names[-1:], mask, whole, pruned, fit, rng)


def _add_alike(trace: Trace, names: Sequence[str], net: caffe.Net) -> bool:
    """Whether layers that share parameters share all of them, and add no mean of a BatchNorm in place of a bias."""
    first, *others = (LinearLayer(trace, name, net) for name in names)
    return not others or all(one.adds_as(first) for one in others)


def _refit(
    trace: Trace,
    names: Sequence[str],
    mask: np.ndarray,
    whole: Sampler,
    pruned: Sampler,
    fit: Fit,
    rng: np.random.Generator,
    see: Callable[[np.ndarray, np.ndarray], None] = lambda inputs, wanted: None,
) -> None:
    model, layer = (LinearLayer(trace, names[0], sampler.net) for sampler in (whole, pruned))
    outputs = np.flatnonzero(mask[outputs_of(trace, names[0])])
    added = None if model.has_bias else model.added()
    lift = 0.0 if added is None else added[outputs]
    start = layer.matrices()
    few = len(start[0]) <= least_squares.LARGEST_SYSTEM
    fits = [
        Halves(partial(NormalEquations, *m.shape)) if few else Halves(partial(SampledRows, -(-fit.rows // 2), rng))
        for m in start
    ]
    for name in names:
        window = LinearLayer(trace, name, pruned.net)
        for inputs, wanted in examples(trace, name, outputs, whole, pruned):
            see(inputs, wanted)
            for equations, (x, y) in zip(fits, window.rows(inputs, wanted, lift, fit.places, rng)):
                equations.add(x, y)
    layer.store([equations.solution(matrix, fit.ridge) for equations, matrix in zip(fits, start)])


def examples(
    trace: Trace, name: str, outputs: np.ndarray, whole: Sampler, pruned: Sampler
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(what the pruned net's layer reads, what it should give) of every batch, for each blob that it reads."""
    own, read = [stop for _, stop in whole.through(name)], [stop for stop, _ in pruned.through(name)]
    shortcuts = [shortcut_of(trace, name, stop.blob, pruned.net) for stop in own]
    sums = {shortcut: whole.after(shortcut.layer, shortcut.top) for shortcut in shortcuts if shortcut}
    beside = [Stop(read[0].index, blob) for shortcut in sums for _, blob in shortcut.others]
    reads, wanted = [*read, *beside], [*own, *sums.values()]
    for read_blobs, whole_blobs in zip(pruned.onward(reads), whole.onward(wanted), strict=True):
        given, original = dict(zip(reads, read_blobs)), dict(zip(wanted, whole_blobs))
        for before, after, shortcut in zip(read, own, shortcuts):
            usual = original[after][:, outputs]
            others = [given[Stop(before.index, blob)] for _, blob in shortcut.others] if shortcut else ()
            yield (
                given[before],
                (shortcut.wanted(original[sums[shortcut]][:, outputs], others, usual) if shortcut else usual),
            )
