"""Several pruning runs that start from one base training each, and what all of them together show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune_prototxt
from sphereslim.criteria import criterion
from sphereslim.errors import SlimError
from sphereslim.evaluation.speed import caffe_times, kept_times
from sphereslim.files import read_json
from sphereslim.net.costs import Total, one_picture
from sphereslim.net.prototxt import read_net, write_prototxt
from sphereslim.pruning.selection import kept_count
from sphereslim.studies.pipeline import Plan
from sphereslim.training.stage import Stage

Times = dict[str, dict[str, float]]  # by deploy prototxt: milliseconds per image, forward and backward


@dataclass(frozen=True)
class Base:
    """A network of a comparison: its plan without layers is the base training; `original` its unscaled folder."""

    name: str
    plan: Plan
    original: Path

    def stage(self) -> Stage:
        """The Stage of the base training."""
        return self.plan.stages()[0]

    def pruned(self, folder: str | Path, layers: Sequence[str], rate: float, **changes: Any) -> Plan:
        """The Plan of a run that starts from this base; `changes` are further fields of the Plan."""
        return replace(
            self.plan,
            folder=self.plan.folder / folder,
            start=self.stage().folder,
            layers=tuple(layers),
            rate=rate,
            **changes,
        )


def convolution_groups(folder: str | Path, trunk: bool = False) -> tuple[str, ...]:
    """Groups of convolutions that a network folder allows to prune, by name, in order; those along trunks on request.

    Without trunks this is the rule that inside a residual block only the first convolution loses filters.
    """
    groups = Groups(read_net(Path(folder) / 'train.prototxt'), read_net(Path(folder) / 'deploy.prototxt'))
    kinds = groups.trace.layers
    return tuple(
        group.name
        for group in groups.prunable()
        if kinds[group.name].type == 'Convolution' and (trunk or not group.is_trunk)
    )


def last_stage(plan: Plan) -> Stage:
    """The Stage that a finished run ends with."""
    stage = plan.stages()[-1]
    if not stage.is_trained():
        raise SlimError(f'{stage.folder}: is not trained yet')
    return stage


def whole_deploy(base: Base, plan: Plan | None = None) -> Path:
    """The deploy prototxt of the unscaled net, cut as a run's plan cuts its own: what the source's figures are of."""
    original = base.original / 'deploy.prototxt'
    if plan is None:
        return original
    net, path = read_net(original), plan.folder / 'full_width.prototxt'
    groups, pairs = Groups(net), criterion(plan.criterion).pairs
    kept = {name: range(kept_count(groups.of(name).size, plan.rate, pairs, plan.multiple)) for name in plan.layers}
    write_prototxt(path, prune_prototxt([net], kept, groups)[0])
    return path


def times(
    path: str | Path,
    deploys: Sequence[str | Path],
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    **how: Any,
) -> Times:
    """{deploy path: {'forward', 'backward'} ms per image} by `caffe time`, measured in turns and kept in `path`.

    `how` goes to `caffe_times`.
    """
    return kept_times(path, list(map(str, deploys)), lambda: caffe_times(deploys, progress=progress, **how))


def whole_times(
    path: str | Path,
    bases: Sequence[Base],
    runs: Sequence[tuple[Base, float, Plan]],
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    **how: Any,
) -> Times:
    """`times` of the unscaled nets of bases, and of runs [(Base, rate, Plan)] from them."""
    deploys = [*(whole_deploy(base) for base in bases), *(whole_deploy(base, plan) for base, _, plan in runs)]
    return times(path, deploys, progress, **how)


def sizes(deploy: str | Path) -> Total:
    """The netstats Total of a deploy prototxt for one picture, classifier apart."""
    return one_picture(read_net(deploy))


def accuracy_of(stage: Stage, moment: str = 'after') -> dict[str, Any]:
    """The evaluation {accuracy, error, …} of a stage."""
    return read_json(stage.evaluation)[moment]
