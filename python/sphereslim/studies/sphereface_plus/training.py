"""SphereFace+ after SphereFace: a base for every margin, then runs with the inter-class term, and without it.

<out>/base-<margin>/            the pretrained net
<out>/<margin>/run-01/ …        from the base with the term, another seed each
<out>/<margin>/without-01/ …    the same with alpha 0, to see what the term does
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.data.lists import Faces
from sphereslim.data.random_cuts import with_random_cuts
from sphereslim.engine import caffe_pb2
from sphereslim.evaluation.verification import evaluate
from sphereslim.files import read_json, write_bytes, write_json
from sphereslim.net.heads import classifier_rows, per_forward, with_alpha, with_classes, with_head
from sphereslim.net.prototxt import read_net, with_data
from sphereslim.net.weights import read_weights
from sphereslim.training.schedule import Schedule
from sphereslim.training.stage import Stage


@dataclass(frozen=True)
class Margin:
    """One margin: the net that its head comes from, alpha, and the schedule of its runs."""

    name: str
    head: Path
    alpha: float
    schedule: Schedule


@dataclass(frozen=True)
class Plan:
    """What to run: `net` a folder of prototxts, `compared` margins also train without the term, `runs` times each."""

    folder: Path
    net: Path
    faces: Faces
    base: Schedule
    margins: tuple
    runs: int
    compared: tuple
    seed: int = 1

    def base_of(self, margin: Margin) -> Stage:
        """The Stage of a margin's pretraining."""
        return Stage(self.folder / f'base-{margin.name}')

    def runs_of(self, margin: Margin) -> list[tuple[Stage, int, float]]:
        """[(Stage, seed, alpha)] of a margin's runs with the term, then without."""
        with_term = [
            (Stage(self.folder / margin.name / f'run-{k:02d}'), self.seed + k, margin.alpha)
            for k in range(1, self.runs + 1)
        ]
        without = (
            [
                (Stage(self.folder / margin.name / f'without-{k:02d}'), self.seed + k, 0.0)
                for k in range(1, self.runs + 1)
            ]
            if margin.name in self.compared
            else []
        )
        return with_term + without


def emit_base(plan: Plan, margin: Margin, stage: Stage) -> None:
    """Write the pretraining of a margin: its classifier with lambda from its start, without the inter-class term."""
    net = with_head(read_net(plan.net / 'train.prototxt'), read_net(margin.head))
    kept = [layer for layer in net.layer if layer.type != 'InterClass']
    del net.layer[:]
    net.layer.extend(kept)
    for layer in net.layer:
        if layer.type == 'MarginInnerProduct':
            layer.margin_inner_product_param.iteration = 0
    _emit(plan, stage, net, plan.base, plan.seed)


def emit_run(plan: Plan, margin: Margin, stage: Stage, seed: int, alpha: float) -> None:
    """Write a run from the margin's base, with the term at strength `alpha`."""
    net = with_alpha(with_head(read_net(plan.net / 'train.prototxt'), read_net(margin.head)), alpha)
    stage.folder.mkdir(parents=True, exist_ok=True)
    write_bytes(stage.init, plan.base_of(margin).final.read_bytes())
    _emit(plan, stage, net, margin.schedule, seed)


def _emit(plan: Plan, stage: Stage, net: caffe_pb2.NetParameter, schedule: Schedule, seed: int) -> None:
    fed = with_data(with_classes(net, plan.faces.people), plan.faces.train, f'{plan.faces.pictures}/', schedule.batch)
    deploy = read_net(plan.net / 'deploy.prototxt')
    train = with_random_cuts(per_forward(fed, schedule.iter_size), deploy, plan.faces)
    stage.emit(train, deploy, plan.net / 'solver.prototxt', schedule, seed)


def measure_centres(stage: Stage, snapshots: Mapping[int, Path]) -> None:
    """Write centres.json of a stage: angles between class centres, in degrees, at every snapshot.

    [[iteration, mean angle over all pairs, mean angle to the nearest other centre], …]
    """
    net, found = read_net(stage.train), []
    for iteration, path in sorted(snapshots.items()):
        rows = classifier_rows(net, read_weights(path))
        found.append([iteration, *centre_angles(rows)])
    write_json(stage.folder / 'centres.json', found)


def is_among(margin: Margin) -> bool:
    """Whether the inter-class term of a margin is the published AMONG."""
    terms = [layer.inter_class_param for layer in read_net(margin.head).layer if layer.type == 'InterClass']
    return bool(terms) and all(term.type == term.AMONG for term in terms)


def base_angles(plan: Plan, margin: Margin) -> tuple[float, float]:
    """centre_angles of a margin's base, from which its runs start."""
    base = plan.base_of(margin)
    return centre_angles(classifier_rows(read_net(base.train), read_weights(base.final)))


def centre_angles(rows: np.ndarray) -> tuple[float, float]:
    """(mean angle over all pairs, mean angle to the nearest other row) of rows (classes, features), in degrees."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    angles = np.degrees(np.arccos(np.clip(unit @ unit.T, -1, 1)))
    others = ~np.eye(len(rows), dtype=bool)
    nearest = np.where(others, angles, np.inf).min(1)
    return float(angles[others].mean()), float(nearest.mean())


def accuracy(plan: Plan, stage: Stage) -> dict[str, Any]:
    """The verification Result of a stage's end as a dict, kept in its evaluation.json."""
    if not stage.evaluation.is_file():
        result = evaluate(stage.deploy, stage.final, plan.faces.pairs, plan.faces.pictures)
        write_json(stage.evaluation, {'after': result.as_dict()})
    return read_json(stage.evaluation)['after']


def release(plan: Plan, margin: Margin) -> tuple[int, float]:
    """Copy the run with the median accuracy to <out>/released; (run number, accuracy) of it."""
    scored = sorted(
        (accuracy(plan, stage)['accuracy'], k) for k, (stage, _, _) in enumerate(plan.runs_of(margin)[: plan.runs], 1)
    )
    value, number = scored[(len(scored) - 1) // 2]
    folder = plan.folder / 'released'
    folder.mkdir(exist_ok=True)
    stage = plan.runs_of(margin)[number - 1][0]
    write_bytes(folder / f'{margin.name}.caffemodel', stage.final.read_bytes())
    write_bytes(folder / f'{margin.name}.prototxt', stage.deploy.read_bytes())
    return number, value
