"""Pruning layer by layer: base training, then per layer select, prune and fine-tune, then a last round.

Each stage is a folder (see `stage`); a stage never edits what it starts from, and a finished one is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune
from sphereslim.criteria import criterion as find_criterion
from sphereslim.data.lists import Faces
from sphereslim.data.pairs import pair_lines, write_few
from sphereslim.data.preparation import InputForm
from sphereslim.data.random_cuts import with_random_cuts
from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.evaluation.verification import evaluate
from sphereslim.files import ResultsFile, read_json, write_bytes, write_json
from sphereslim.net.engine_check import check_engine
from sphereslim.net.heads import count_parameters, with_classes
from sphereslim.net.prototxt import read_net, with_data, write_prototxt
from sphereslim.net.weights import read_weights
from sphereslim.progress import bar
from sphereslim.pruning.selection import select
from sphereslim.sampling.sampler import Sampler
from sphereslim.training.data_init import fit_start
from sphereslim.training.schedule import Schedule
from sphereslim.training.stage import Stage, train_with_bar


@dataclass(frozen=True)
class Plan:
    """What a run does: `net` is a folder of prototxts, `layers` are pruned in order down to `rate`, the share kept.

    `start` is a trained stage's folder to begin from, in place of a base training; `own` holds the Schedules of layers
    that are not fine-tuned by `fine_tune`. Without `last_round` the last layer's stage is the end. `crop` is how
    pictures are verified, see `lfw.InputForm`; on all pairs the base and the end, and on `stage_pairs` matched and as
    many mismatched pairs of each fold, where given, all before. With `fit_start` the first weights of the base are
    fitted to the pictures, see `data_init`.
    """

    folder: Path
    net: Path
    faces: Faces
    layers: tuple[str, ...]
    rate: float
    criterion: str
    base: Schedule
    fine_tune: Schedule
    last_round: Schedule | None
    batches: int = 1
    multiple: int = 1
    seed: int = 1
    start: Path | None = None
    own: dict[str, Schedule] | None = None
    crop: str = 'centre'
    fit_start: bool = False
    stage_pairs: int | None = None

    def stages(self) -> list[Stage]:
        """The Stage of the base, of every layer, and of the last round, in order."""
        names = [*self.layers, *(['last-round'] if self.last_round else [])]
        base = Stage(self.start or self.folder / '00-base')
        return [base, *(Stage(self.folder / f'{number:02d}-{name}') for number, name in enumerate(names, 1))]

    def fine_tuning_of(self, layer: str) -> Schedule:
        """The Schedule after pruning a layer."""
        return (self.own or {}).get(layer, self.fine_tune)


def keep_settings(plan: Plan) -> None:
    """Note what the run's folder is made with; SlimError where it was begun with something else."""
    path = plan.folder / 'run.json'
    values = json.loads(json.dumps(asdict(plan), default=str))
    known = values | (read_json(path) if path.is_file() else {})
    other = [name for name in values if known.get(name) != values[name]]
    if other:
        raise SlimError(
            f'{plan.folder}: was begun with {other[0]} {known.get(other[0])}, not {values[other[0]]}; '
            'give another folder (--out; with run_all.sh OUT=, and DATA= for other faces) or remove it'
        )
    write_json(path, values)


def emit_base(plan: Plan, stage: Stage) -> None:
    """Write the prototxts of the base training, which starts from the stage's init where that is there already."""
    deploy = read_net(plan.net / 'deploy.prototxt')
    fed = with_data(read_net(plan.net / 'train.prototxt'), plan.faces.train, f'{plan.faces.pictures}/', plan.base.batch)
    train = with_random_cuts(with_classes(fed, plan.faces.people), deploy, plan.faces)
    if plan.fit_start and not stage.init.is_file():
        stage.folder.mkdir(parents=True, exist_ok=True)
        write_prototxt(stage.train, train)
        net = seeded_net(stage.train, plan.seed)
        fit_start(net)
        net.save(str(stage.init))
    _emit(plan, stage, train, deploy, plan.base)


def emit_pruned(
    plan: Plan, before: Stage, stage: Stage, layer: str, progress: Callable[[Iterable[Any]], Iterable[Any]] = iter
) -> None:
    """Select and remove filters of `layer` from what the stage `before` ended with, and write the next stage."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    if stage.is_emitted():
        return
    train, deploy = read_net(before.train), read_net(before.deploy)
    groups = Groups(train, deploy)
    sampler = Sampler(seeded_net(before.train, plan.seed, before.final), batches=plan.batches, progress=progress)
    selection = select(groups, layer, plan.criterion, sampler, plan.rate, plan.seed, plan.multiple)
    weights = read_weights(before.final)
    whole = deploy
    (train, deploy), pruned = prune([train, deploy], weights, {layer: selection.kept}, groups)
    write_bytes(stage.init, pruned.SerializeToString())
    write_json(
        stage.selection,
        {
            'layer': layer,
            **selection.as_dict(),
            'batches': plan.batches,
            'data': str(plan.faces.train),
            'parameters_before': count_parameters(whole, weights),
            'parameters_after': count_parameters(deploy, pruned),
        },
    )
    schedule = plan.fine_tuning_of(layer)
    _emit(plan, stage, with_data(train, plan.faces.train, f'{plan.faces.pictures}/', schedule.batch), deploy, schedule)


def emit_last(plan: Plan, before: Stage, stage: Stage, schedule: Schedule) -> None:
    """Write the last round, on a Schedule: the pruned net as it is, trained on."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    write_bytes(stage.init, before.final.read_bytes())
    train = with_data(read_net(before.train), plan.faces.train, f'{plan.faces.pictures}/', schedule.batch)
    _emit(plan, stage, train, read_net(before.deploy), schedule)


def _emit(
    plan: Plan, stage: Stage, train: caffe_pb2.NetParameter, deploy: caffe_pb2.NetParameter, schedule: Schedule
) -> None:
    stage.emit(train, deploy, plan.net / 'solver.prototxt', schedule, plan.seed)


def seeded_net(prototxt: str | Path, seed: int, weights: str | Path | None = None) -> caffe.Net:
    """A `caffe.Net` in phase TRAIN with a data layer whose order and mirroring repeat, and so its first weights."""
    caffe.set_random_seed(seed)
    net = caffe.Net(str(prototxt), caffe.TRAIN)
    if weights:
        net.copy_from(str(weights))
    return net


def evaluate_stage(plan: Plan, stage: Stage, moment: str, **how: Any) -> dict[str, Any]:
    """Accuracy of a stage `before` (its init) or `after` training, kept in its evaluation.json and read from there."""
    weights = {'before': stage.init, 'after': stage.final}[moment]
    form = InputForm(crop=plan.crop)
    return ResultsFile(stage.evaluation).result(
        moment,
        lambda: evaluate(
            stage.deploy, weights, _pairs_for(plan, stage, moment), plan.faces.pictures, form=form, **how
        ).as_dict(),
    )


def _pairs_for(plan: Plan, stage: Stage, moment: str) -> Path:
    """The pairs that a stage is verified on."""
    stages = plan.stages()
    is_end = moment == 'after' and stage.folder in (stages[0].folder, stages[-1].folder)
    if plan.stage_pairs is None or is_end:
        return plan.faces.pairs
    folds, count, _ = pair_lines(plan.faces.pairs)
    return write_few(plan.faces.pairs, plan.folder / 'stage_pairs.txt', folds, min(count, plan.stage_pairs))


def check(plan: Plan) -> None:
    """Meet what a run would fail on after an hour: SlimError for missing files, for what the Caffe in use cannot do,
    and for unknown layers, criteria and rates."""
    for name in ('train', 'deploy', 'solver'):
        if not (plan.net / f'{name}.prototxt').is_file():
            raise SlimError(f'{plan.net / name}.prototxt: not there, expected train, deploy and solver in {plan.net}')
    find_criterion(plan.criterion)
    train, deploy, solver = (plan.net / f'{name}.prototxt' for name in ('train', 'deploy', 'solver'))
    check_engine([train, deploy], [solver])
    groups = Groups(read_net(train), read_net(deploy))
    for layer in plan.layers:
        groups.of(layer)
    if not 0 < plan.rate <= 1:
        raise SlimError(f'rate {plan.rate}: expected the share of channels to keep, above 0 and at most 1')


def run_stages(plan: Plan, gpu: str | None = None, heading: str = '') -> None:
    """All stages in order; what is done already is told and left alone. `heading` starts every line.

    SlimError where the plan's folder was begun with other settings.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    keep_settings(plan)
    stages = plan.stages()
    for place, stage in enumerate(stages):
        title = f'{heading}[{place + 1}/{len(stages)}] {stage.name}'
        if stage.is_trained() and has_accuracy(stage, place):
            print(f'{title}: done', flush=True)
            continue
        if not stage.is_emitted():
            emit(plan, stages, place, title)
        if place and not stage.is_trained():
            tell(plan, stage, 'before', title)
        train_with_bar(stage, title, gpu)
        tell(plan, stage, 'after', title)


def has_accuracy(stage: Stage, place: int) -> bool:
    """Whether the stage at a place of its run holds its accuracies; the first has none from before its training."""
    known = read_json(stage.evaluation) if stage.evaluation.is_file() else {}
    return 'after' in known and (not place or 'before' in known)


def emit(plan: Plan, stages: Sequence[Stage], place: int, title: str) -> None:
    """Write what training needs into the stage at a place of a run: base, pruned layer or last round."""
    stage = stages[place]
    if not place:
        emit_base(plan, stage)
    elif plan.last_round and place > len(plan.layers):
        emit_last(plan, stages[place - 1], stage, plan.last_round)
    else:
        emit_pruned(
            plan,
            stages[place - 1],
            stage,
            plan.layers[place - 1],
            lambda batches: bar(batches, desc=f'{title}: sampling', leave=False),
        )


def tell(plan: Plan, stage: Stage, moment: str, title: str) -> None:
    """Verify a stage `before` or `after` its training, unless that is known, and print the accuracy."""
    result = evaluate_stage(plan, stage, moment)
    print(f'{title}: accuracy {moment} training {result["accuracy"]:.2f} %', flush=True)
