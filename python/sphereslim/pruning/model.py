"""A deploy net with its weights and channel groups, made smaller: what remains, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sphereslim.channels.groups import Groups, Kept
from sphereslim.channels.surgery import prune, prune_prototxt
from sphereslim.criteria import criterion as find_criterion
from sphereslim.data.feed import Feed
from sphereslim.engine import caffe_pb2
from sphereslim.files import write_bytes
from sphereslim.net.costs import one_picture
from sphereslim.net.opened import open_net, with_params
from sphereslim.net.phases import with_net_stages
from sphereslim.net.prototxt import read_net, write_prototxt
from sphereslim.net.weights import read_weights
from sphereslim.net.weights_check import check_weights
from sphereslim.pruning.reconstruct import Fit, reconstruct
from sphereslim.pruning.selection import Selection, choose, measure
from sphereslim.sampling.linear_layer import is_linear
from sphereslim.sampling.sampler import Sampler


@dataclass(frozen=True, eq=False)
class Model:
    """`net` and `weights` are NetParameters, `groups` the Groups of the net."""

    net: caffe_pb2.NetParameter
    weights: caffe_pb2.NetParameter
    groups: Groups

    def sampler(self, feed: Feed, backward: bool = False) -> Sampler:
        """A Sampler of the net over all of `feed`; see `activations` and `open_net`."""
        return Sampler(open_net(self.net, self.weights, backward=backward), feed)

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write deploy.prototxt and weights.caffemodel into a folder; returns their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / 'weights.caffemodel', self.weights.SerializeToString())
        write_prototxt(folder / 'deploy.prototxt', self.net)
        return folder / 'deploy.prototxt', folder / 'weights.caffemodel'


def open_model(deploy: str | Path, weights: str | Path, net_stages: Sequence[str] = ()) -> Model:
    """The Model in a deploy prototxt and a caffemodel; SlimError when they do not belong together.

    Of a net whose layers have rules it is what is there under `net_stages`, as `with_net_stages` gives it.
    """
    net, held = with_net_stages(read_net(deploy), net_stages), read_weights(weights)
    groups = Groups(net)
    check_weights(held, groups.trace.axes.values(), weights)
    return Model(net, held, groups)


def slim(model: Model, kept: Kept) -> Model:
    """The Model without the channels that `kept` = {group or layer name: indices} drops."""
    (net,), weights = prune([model.net], model.weights, kept, model.groups)
    return Model(net, weights, Groups(net))


def refit(
    model: Model,
    slimmed: Model,
    kept: Kept,
    feed: Feed,
    fit: Fit | None = None,
    seed: int = 0,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
    every: bool = False,
) -> Model:
    """`slimmed` with the readers of removed channels refitted to what they gave in `model`, over the batches of `feed`.

    With `every` all layers that can be refitted are: errors of the layers before them are made up for too.
    `progress` wraps the names of the layers as they are done.
    """
    pruned = slimmed.sampler(feed, backward=bool(fit and fit.together))
    layers = refittable(model) if every else None
    for _ in progress(reconstruct(model.groups, kept, model.sampler(feed), pruned, layers, fit, seed)):
        pass
    return Model(slimmed.net, with_params(slimmed.weights, pruned.net), slimmed.groups)


def refittable(model: Model) -> list[str]:
    """The names of all layers that can be refitted, in net order."""
    return [name for name in model.groups.trace.layers if is_linear(model.groups.trace, name)]


def cost(net: caffe_pb2.NetParameter) -> tuple[int, int]:
    """(MACs, parameters) for one picture through a deploy NetParameter, classifier apart."""
    sums = one_picture(net)
    return sums.macs, sums.parameters


def cost_of_counts(model: Model, counts: Mapping[str, int]) -> tuple[int, int]:
    """(MACs, parameters) when as many channels stay as {group name: number} says; which ones does not matter."""
    return cost(prune_prototxt([model.net], {name: range(n) for name, n in counts.items()}, model.groups)[0])


def evidence(model: Model, names: Sequence[str], criterion: str, feed: Feed, seed: int = 0) -> dict[str, Any]:
    """{group name: what the criterion measured} over the batches of `feed`."""
    sampler = model.sampler(feed, backward=find_criterion(criterion).needs_gradients)
    return {name: measure(model.groups, name, criterion, sampler, seed) for name in names}


def selections(
    model: Model, criterion: str, measured: Mapping[str, Any], counts: Mapping[str, int], seed: int = 0
) -> list[Selection]:
    """[Selection] of the groups in {group name: number kept} from `measured` as `evidence` gives it."""
    return [
        choose(model.groups, name, criterion, measured[name], number / model.groups.of(name).size, seed, exact=True)
        for name, number in counts.items()
        if number < model.groups.of(name).size
    ]


def cut_and_refit(
    model: Model,
    chosen: Sequence[Selection],
    feed: Feed | None = None,
    fit: Fit | None = None,
    seed: int = 0,
    every: bool = False,
) -> Model:
    """The Model with [Selection] carried out; with a `feed` layers are refitted over its batches, see `refit`."""
    kept = {selection.group: selection.kept for selection in chosen}
    slimmed = slim(model, kept)
    return refit(model, slimmed, kept, feed, fit, seed, every=every) if feed else slimmed
