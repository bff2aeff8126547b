"""Where a base training starts on real faces: a net that has learned a face model's embedding, label-free.

<folder>/distilled/   a stage: its training, the net and its accuracy; the base training goes on from its weights, with
                      a classifier that starts at the centres of the people
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sphereslim.data.lists import Faces, Taught, open_taught
from sphereslim.data.preparation import InputForm
from sphereslim.data.random_cuts import with_random_cuts
from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.evaluation.verification import evaluate
from sphereslim.files import ResultsFile, read_json, write_bytes, write_json
from sphereslim.net.prototxt import read_net, with_data, write_prototxt
from sphereslim.net.weights import read_weights
from sphereslim.report.cells import MEASURED, ReportCell, ReportTable, accuracy_text
from sphereslim.rewrite.distill import without_teacher
from sphereslim.settings import checked
from sphereslim.studies.class_centres import with_centres
from sphereslim.studies.grown import grown
from sphereslim.studies.pipeline import Plan
from sphereslim.studies.prune_runs import Base
from sphereslim.studies.taught import taught_net
from sphereslim.training.data_init import fit_start
from sphereslim.training.schedule import Schedule
from sphereslim.training.stage import Stage, train_with_bar

_BEGUN = 'begun.json'  # of a stage that started as a smaller net: which
SOLVER = caffe_pb2.SolverParameter(type='Adam', momentum=0.9, momentum2=0.999)


@dataclass(frozen=True)
class Start:
    """How a net learns from a teacher: `schedule`; behind a linear `head`, see `studies.taught`; whether the first
    weights are fitted to the pictures, see `data_init`; the schedules of a net that starts as a smaller one, see
    `studies.grown`, and of a pruned one, see `studies.taught_on`."""

    schedule: Schedule
    head: bool = False
    fit_start: bool = False
    grown: Schedule | None = None
    taught_on: Schedule | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any], name: str) -> Start:
        """From a settings file: a Schedule's values and, as they are needed, the other fields."""
        kinds = {'head': 'switch', 'fit_start': 'switch', 'grown': 'settings', 'taught_on': 'settings'}
        own = {key: values[key] for key in kinds if key in values}
        checked(own, {f'{key}?': kind for key, kind in kinds.items()}, name)
        rest = {key: value for key, value in values.items() if key not in own}
        for key in ('grown', 'taught_on'):
            if key in own:
                own[key] = Schedule.from_dict(own[key], f'{name}: {key}')
        return cls(Schedule.from_dict(rest, name), **own)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], name: str) -> Start | None:
        """From the `distilled` of a settings file's values, None where they have none."""
        chosen = settings.get('distilled')
        return cls.from_dict(chosen, f'{name}: distilled') if chosen else None


def base_rows(bases: Sequence[Base]) -> list[dict[str, Any]]:
    """Plain values of each base, and of the net that it started from: how it was made, accuracy, error, folds."""
    rows = []
    for base in bases:
        first = base.stage()
        taught = Stage(base.plan.folder / 'distilled')
        stages = [(taught, f'the teacher alone{_beginning(taught)}')] if taught.is_trained() else []
        stages.append((first, 'then its own labels' if stages else 'from scratch'))
        for stage, how in stages:
            result = read_json(stage.evaluation)['after']
            rows.append(
                {'net': base.name, 'how': how, 'iterations': stage.iterations(), 'pairs': result['pairs']}
                | {name: result[name] for name in ('accuracy', 'error', 'folds')}
            )
    return rows


def _beginning(stage: Stage) -> str:
    """What a table says of the net that a Stage started as."""
    mark = stage.folder / _BEGUN
    return f', begun as {read_json(mark)["as"]}' if mark.is_file() else ''


def bases_table(rows: Sequence[dict[str, Any]]) -> ReportTable:
    """The ReportTable of `base_rows`."""
    cells = [
        [
            ReportCell(row['net']),
            ReportCell(row['how']),
            ReportCell(f'{row["iterations"]:,}'),
            ReportCell(accuracy_text(row['accuracy'], row['error']), MEASURED),
            ReportCell(' '.join(f'{fold:.2f}' for fold in row['folds']), MEASURED),
        ]
        for row in rows
    ]
    return ReportTable(
        'Bases',
        ['network', 'learned from', 'iterations', 'accuracy', 'fold by fold'],
        cells,
        f'Accuracy on {rows[0]["pairs"]:,} pairs; the threshold of each fold comes from the others.',
    )


def start_base(
    start: Start, plan: Plan, gpu: str | None = None, heading: str = '', smaller: Stage | None = None
) -> Stage:
    """`start_stages` for the base training of a Plan, in its folder."""
    stages, folder = plan.stages()[:1], plan.folder / 'distilled'
    return start_stages(start, plan.net, folder, plan.faces, stages, plan.seed, plan.crop, gpu, heading, smaller)


def start_stages(
    start: Start,
    net: Path,
    folder: Path,
    faces: Faces,
    stages: Sequence[Stage],
    seed: int,
    crop: str = 'centre',
    gpu: str | None = None,
    heading: str = '',
    smaller: Stage | None = None,
) -> Stage:
    """Train the net in the folder `net` by the teacher of `faces`, in the stage `folder`, and start `stages` from it.

    It begins as the `smaller` one, trained before, where that is a part of it and the Start has a schedule for this.
    Stages that hold a training already stay as they are. Returns the trained stage. SlimError where `faces` were
    prepared without a teacher, and where the stages began without one.
    """
    stage = Stage(folder)
    waiting = [other for other in stages if not other.is_emitted()]
    if not stage.is_trained():
        if not waiting:
            raise SlimError(f'{stages[0].folder}: was begun without a teacher; give another folder')
        taught = open_taught(faces.train.parent)
        if not stage.is_emitted():
            emit(start, net, stage, taught, faces, seed, smaller)
        train_with_bar(stage, f'{heading}{stage.name}', gpu)
    if waiting:
        train, deploy = (read_net(net / f'{name}.prototxt') for name in ('train', 'deploy'))
        begun = with_centres(train, deploy, without_teacher(read_weights(stage.final)), faces, crop)
        for other in waiting:
            write_bytes(other.init, begun.SerializeToString())
    tell_accuracy(stage, stages[0].init, faces, crop, heading)
    return stage


def tell_accuracy(stage: Stage, weights: Path, faces: Faces, crop: str, heading: str) -> None:
    """Verify what a Stage learned from the teacher, `weights` without that, unless it is known; print the accuracy."""
    result = ResultsFile(stage.evaluation).result(
        'after',
        lambda: evaluate(stage.deploy, weights, faces.pairs, faces.pictures, form=InputForm(crop=crop)).as_dict(),
    )
    print(f'{heading}{stage.name}: accuracy after training {result["accuracy"]:.2f} %', flush=True)


def emit(
    start: Start, net: Path, stage: Stage, taught: Taught, faces: Faces, seed: int, smaller: Stage | None = None
) -> None:
    """Write the stage that learns from the teacher."""
    train, deploy = (read_net(net / f'{name}.prototxt') for name in ('train', 'deploy'))
    begun = _begun_as(smaller, deploy) if smaller and start.grown else None
    schedule = start.grown if begun and start.grown else start.schedule
    if smaller and begun:
        stage.folder.mkdir(parents=True, exist_ok=True)
        write_json(stage.folder / _BEGUN, {'as': smaller.folder.parent.name})
    write_taught(stage, train, deploy, schedule, taught, faces, seed, begun, start.head, start.fit_start and not begun)


def write_taught(
    stage: Stage,
    train: caffe_pb2.NetParameter,
    deploy: caffe_pb2.NetParameter,
    schedule: Schedule,
    taught: Taught,
    faces: Faces,
    seed: int,
    begun: caffe_pb2.NetParameter | None = None,
    head: bool = False,
    fitted: bool = False,
) -> None:
    """Write the training of a net by the teacher into a Stage, from the weights `begun`; `head` and `fitted` as in a
    Start."""
    fed = with_data(train, taught.pictures, f'{taught.folder}/', batch_size=schedule.batch)
    learner, weights = taught_net(with_random_cuts(fed, deploy, faces), deploy, taught.directions, head)
    stage.folder.mkdir(parents=True, exist_ok=True)
    if begun:
        weights.layer.extend(begun.layer)
    write_bytes(stage.init, weights.SerializeToString())
    if fitted:
        _fit(stage, learner, seed)
    solver = stage.folder / 'adam.prototxt'
    write_prototxt(solver, SOLVER)
    stage.emit(learner, deploy, solver, schedule, seed)


def _begun_as(smaller: Stage, deploy: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter | None:
    """What a deploy net holds where it starts as a trained Stage; None where that is no part of it."""
    return grown(deploy, read_net(smaller.deploy), without_teacher(read_weights(smaller.final)))


def _fit(stage: Stage, train: caffe_pb2.NetParameter, seed: int) -> None:
    """Fit the weights that a Stage starts with to its pictures."""
    write_prototxt(stage.train, train)
    caffe.set_random_seed(seed)
    opened = caffe.Net(str(stage.train), str(stage.init), caffe.TRAIN)
    fit_start(opened)
    opened.save(str(stage.init))
