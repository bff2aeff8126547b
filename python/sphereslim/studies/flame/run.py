"""The experiment's steps; each leaves files in its folder, and what is there is not made again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sphereslim.engine import caffe_pb2
from sphereslim.evaluation.paired import pack_right
from sphereslim.evaluation.top1 import Top1
from sphereslim.files import file_digest, read_bytes, read_json, write_bytes, write_json
from sphereslim.net.costs import measure, total
from sphereslim.net.engine_check import check_engine
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import read_weights
from sphereslim.quantization import quantize_net, read_caffemodel, write_quantized
from sphereslim.quantization.sweep import Point, Rows, combinations, run_point
from sphereslim.rewrite.distill import PREFIX, add_logits_loss, join_weights, with_teacher, without_teacher
from sphereslim.studies.flame.lists import Lists
from sphereslim.studies.flame.nets import BASELINE, VARIANTS, logits_of, variant_nets
from sphereslim.studies.flame.settings import Settings
from sphereslim.training.schedule import Schedule
from sphereslim.training.stage import Stage


@dataclass(frozen=True)
class Run:
    """One run: its folder, the folder of the baseline's prototxts, the settings, the pictures and their measure."""

    folder: Path
    net: Path
    settings: Settings
    lists: Lists
    top1: Top1

    def stage(self, variant: str) -> Stage:
        """The Stage of a variant's training; 'distilled' is the student's with its teacher."""
        names = [*VARIANTS, 'distilled', 'binary']
        return Stage(self.folder / f'{names.index(variant):02d}-{variant}')


def emit_variant(run: Run, variant: str) -> None:
    """The prototxts of a variant's training."""
    train, deploy = variant_nets(run.settings, run.net, variant, run.lists)
    _emit(run, run.stage(variant), train, deploy, run.settings.training)


def emit_distilled(run: Run) -> None:
    """The student again, from its fillers, with the trained baseline as its teacher."""
    stage = run.stage('distilled')
    train, deploy = _distilled_nets(run.settings, run.net, run.lists)
    stage.folder.mkdir(parents=True, exist_ok=True)
    weights = read_weights(run.stage(BASELINE).final)
    write_bytes(stage.init, join_weights(None, weights).SerializeToString())
    _emit(run, stage, train, deploy, run.settings.training)


def _distilled_nets(
    settings: Settings, folder: Path, lists: Lists
) -> tuple[caffe_pb2.NetParameter, caffe_pb2.NetParameter]:
    chosen = settings.distillation
    train, deploy = variant_nets(settings, folder, chosen.student, lists)
    logits = logits_of(train)
    train = with_teacher(train, variant_nets(settings, folder, BASELINE, lists)[1])
    return add_logits_loss(train, logits, PREFIX + logits, chosen.temperature, chosen.weight), deploy


def check(settings: Settings, folder: Path) -> None:
    """SlimError for layers and solvers of any of the run's trainings that the Caffe in use lacks."""
    lists = Lists(folder, folder / 'train.txt', folder / 'val.txt', people=2, train_count=0, val_count=0)
    check_engine(
        [variant_nets(settings, folder, variant, lists)[0] for variant in VARIANTS], [folder / 'solver.prototxt']
    )
    check_engine([_distilled_nets(settings, folder, lists)[0]])


def emit_binary(run: Run) -> None:
    """The solver and net of training with binary weights, which starts from the baseline."""
    base = run.stage(BASELINE)
    _emit(run, run.stage('binary'), read_net(base.train), read_net(base.deploy), run.settings.binarization)


def first_convolution(stage: Stage) -> str:
    """The name of the convolution that reads the picture."""
    return next(layer.name for layer in read_net(stage.deploy).layer if layer.type == 'Convolution')


def _emit(
    run: Run, stage: Stage, train: caffe_pb2.NetParameter, deploy: caffe_pb2.NetParameter, schedule: Schedule
) -> None:
    stage.emit(train, deploy, run.net / 'solver.prototxt', schedule, run.settings.seed)


def evaluate(run: Run, variant: str, weights: str | Path | None = None) -> dict[str, Any]:
    """{accuracy, right, pairs, pairs_digest, weights, parameters, bytes, macs} of a trained variant, kept in its
    evaluation.json.

    `bytes` are float32 parameters and batch norm statistics; the accuracy is that of the validation list, percent. Its
    pictures are what `paired.loss_against` compares: pairs of a picture and a label.
    """
    stage = run.stage(variant)
    if not stage.evaluation.is_file():
        sums = total(measure(read_net(stage.deploy)))
        judged = run.top1.judged(stage.deploy, weights or student_weights(stage))
        write_json(
            stage.evaluation,
            {
                'accuracy': 100 * float(judged.mean()),
                'right': pack_right(judged),
                'pairs': len(judged),
                'pairs_digest': file_digest(run.lists.val),
                'weights': sums.weights,
                'parameters': sums.parameters,
                'bytes': sums.model_bytes,
                'macs': sums.macs,
            },
        )
    return read_json(stage.evaluation)


def student_weights(stage: Stage) -> Path:
    """The path of a stage's caffemodel without a teacher."""
    path = stage.folder / 'student.caffemodel'
    weights = read_weights(stage.final)
    if not any(layer.name.startswith(PREFIX) for layer in weights.layer):
        return stage.final
    if not path.is_file():
        write_bytes(path, without_teacher(weights).SerializeToString())
    return path


def sweep(run: Run, variant: str, progress: Callable[[Iterable[Any]], Iterable[Any]]) -> list[Point]:
    """The rows of a variant's sweep over schemes and bits; accuracies on the validation list."""
    stage, chosen = run.stage(variant), run.settings.sweep
    weights = student_weights(stage)
    folder = stage.folder / 'sweep'
    folder.mkdir(exist_ok=True)
    rows = Rows(folder, {'weights': file_digest(weights, stage.deploy, run.lists.val), 'measure': 'top-1'})
    points = combinations(chosen.schemes, ['all'], ['layer'], chosen.bits)
    points += combinations(['log'], ['conv'], ['layer'], chosen.bits) if variant == BASELINE else []
    net = read_caffemodel(weights)
    for point in progress([point for point in points if not rows.find(point)]):
        rows.add(run_point(net, point, folder, stage.deploy, run.top1))
    return [row for row in map(rows.find, points) if row]


def smallest(rows: Sequence[Point], accuracy: float, tolerance: float) -> Point:
    """The smallest file among sweep rows that loses at most `tolerance` points, or the most accurate one."""
    good = [row for row in rows if row['value'] >= accuracy - tolerance]
    return min(good, key=lambda row: row['bytes']) if good else max(rows, key=lambda row: row['value'])


def write_file(run: Run, variant: str, row: Point, path: str | Path) -> int:
    """The chosen row as a .qcaffemodel with its deploy prototxt inside; its size in bytes."""
    stage = run.stage(variant)
    quantized = quantize_net(
        read_caffemodel(student_weights(stage)), row['bits'], row['scheme'], row['scope'], row['layers']
    )
    quantized.deploy = read_bytes(stage.deploy)
    return write_quantized(quantized, path)
