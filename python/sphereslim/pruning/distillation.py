"""Label-free distillation of a pruned deploy net: the whole net teaches it the embedding of every picture.

Where it is known which channels the pruned net kept, it learns the sums at the ends of the residual trunks as well.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.channels.groups import Groups, Kept
from sphereslim.data.feed import Feed, feed_for
from sphereslim.data.pictures import read_picture
from sphereslim.data.preparation import InputForm
from sphereslim.engine import caffe, caffe_pb2
from sphereslim.files import write_bytes
from sphereslim.net.costs import open_with_inputs
from sphereslim.net.engine_check import check_engine
from sphereslim.net.layer_types import layer_type
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import load_net
from sphereslim.net.prototxt import write_prototxt
from sphereslim.net.weights import blob_array, read_weights, weight_layers
from sphereslim.pruning.model import Model
from sphereslim.rewrite.distill import (
    PREFIX,
    add_embedding_loss,
    add_map_loss,
    join_weights,
    with_teacher,
    without_teacher,
)
from sphereslim.rewrite.varied_pictures import with_pictures
from sphereslim.training.schedule import Schedule, solver_for
from sphereslim.training.stage import Stage

SHARE = 0.9  # of the CPU time allowed that iterations are planned for: loading pictures and starting take the rest
BASE_LR, BATCH = 5e-3, 32  # what MobileFaceNet was distilled with, see docs/mobilefacenet.md
WARM_UP = 0.1  # of the iterations, in which the rate rises
TRUNK_WEIGHT = 0.1  # of the loss at each trunk, which is 1 for a trunk of zeros; that of the embedding is 1 - cosine
_SCALED_ON = 64  # pictures


def check(model: Model, form: InputForm) -> None:
    """SlimError for layers and the solver of the training that the Caffe in use lacks."""
    check_engine([training_net(model.net, model.net, form, 'pictures.txt', batch=4, size=(1, 1))], [solver()])


def solver() -> caffe_pb2.SolverParameter:
    """The SolverParameter that every distillation starts from."""
    return caffe_pb2.SolverParameter(type='Adam', momentum=0.9, momentum2=0.999, weight_decay=0)


def emit(
    stage: Stage,
    student: Model,
    teacher: Model,
    form: InputForm,
    paths: Sequence[str | Path],
    minutes: float,
    base_lr: float,
    batch: int,
    seed: int,
    kept: Kept | None = None,
) -> int:
    """Write a stage that distils for `minutes` of CPU time on picture files `paths`; returns its iterations.

    With `kept` = {group: units of the teacher that the student has} the student learns the teacher's trunks too. The
    rate rises, then falls to 0 in a straight line; `base_lr` is the step of a weight where that begins, as a share of
    the root mean square of its blob: Adam moves all weights alike, and those of folded layers differ by orders of
    magnitude.
    """
    stage.folder.mkdir(parents=True, exist_ok=True)
    pictures = stage.folder / 'pictures.txt'
    write_bytes(pictures, ''.join(f'{path} 0\n' for path in paths).encode())
    net = training_net(student.net, teacher.net, form, pictures, batch, _size(paths[0]))
    weights = join_weights(student.weights, teacher.weights)
    if kept is not None:
        feed = feed_for(teacher.net, paths[:_SCALED_ON], form)
        for blob, places, size, scale in _trunk_ends(teacher, kept, feed):
            net, weights = add_map_loss(net, weights, blob, places, size, scale, TRUNK_WEIGHT)
    write_prototxt(stage.train, _paced(net, student.weights))
    write_prototxt(stage.deploy, student.net)
    write_bytes(stage.init, weights.SerializeToString())
    iterations = max(10, int(60 * minutes * SHARE / cpu_seconds(stage.train, stage.init)))
    schedule = Schedule(iterations, base_lr, batch, display=5, extra=_pace(iterations))
    write_prototxt(stage.solver, solver_for(solver(), schedule, stage.train, stage.prefix, seed))
    return iterations


def _pace(iterations: int) -> dict[str, Any]:
    """Fields of a solver whose rate falls to 0; it rises first where the Caffe in use knows how to.

    The first steps of Adam are as long as the rate says whatever the gradients are, which would undo what a net that
    is close to its teacher knows.
    """
    falling: dict[str, Any] = {'lr_policy': 'poly', 'power': 1.0}
    if 'warmup_iter' in caffe_pb2.SolverParameter.DESCRIPTOR.fields_by_name:
        falling['warmup_iter'] = int(WARM_UP * iterations)
    return falling


def _size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture file."""
    height, width = read_picture(path).shape[:2]
    return height, width


def _paced(net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The train net in which every blob of the student learns in proportion to its root mean square."""
    result, held = copy_of(net), weight_layers(weights)
    for layer in result.layer:
        blobs = held[layer.name].blobs if layer.name in held else ()
        learned = [blob_array(blob) for blob in blobs[: layer_type(layer).first_statistic]]
        if learned:
            sizes = [float(np.sqrt(np.mean(np.square(blob, dtype=np.float64)))) or 1.0 for blob in learned]
            rates = sizes + [0.0] * (len(blobs) - len(learned))
            del layer.param[:]
            layer.param.extend(caffe_pb2.ParamSpec(lr_mult=rate, decay_mult=0) for rate in rates)
    return result


def _trunk_ends(teacher: Model, kept: Kept, feed: Feed) -> Iterator[tuple[str, np.ndarray, int, float]]:
    """(blob, places of the channels that stay, channels, mean of their sum of squares) of each trunk's last sum."""
    sampler = teacher.sampler(feed)
    for group in teacher.groups:
        if group.is_trunk and group.prunable and group.points:
            layer, top = group.points[-1]
            units = teacher.groups.units_of(group, layer, top)
            places = np.flatnonzero(np.isin(units, kept.get(group.name, np.arange(group.size))))
            squares = [np.square(blob[:, places]).sum() for (blob,) in sampler.blobs([sampler.after(layer, top)])]
            yield top, places, len(units), float(sum(squares)) / len(feed.paths)


def training_net(
    student: caffe_pb2.NetParameter,
    teacher: caffe_pb2.NetParameter,
    form: InputForm,
    pictures: str | Path,
    batch: int,
    size: tuple[int, int] | None = None,
) -> caffe_pb2.NetParameter:
    """The train NetParameter: pictures from a list, student and frozen teacher, distance of normalised embeddings.

    Pictures of `size` (height, width) are shifted, stretched and lit as `rewrite.varied_pictures` does it.
    """
    opened = open_with_inputs(student)
    blob = opened.outputs[0]
    net = add_embedding_loss(with_teacher(student, teacher), blob, PREFIX + blob, 1.0)
    return with_pictures(net, form, pictures, batch, size)


def cpu_seconds(train: str | Path, weights: str | Path, rounds: int = 5) -> float:
    """CPU seconds of one forward and backward pass of a train prototxt, after one to warm up.

    The median of some rounds: on a busy machine single ones take up to twice as long.
    """
    net = load_net(train, weights, caffe.TRAIN)

    def once() -> float:
        start = time.process_time()
        net.forward()
        net.backward()
        return time.process_time() - start

    once()
    return statistics.median(once() for _ in range(rounds))


def distilled(stage: Stage, student: Model) -> Model:
    """The Model that the stage's training ended with."""
    weights = without_teacher(read_weights(stage.final))
    return Model(student.net, weights, Groups(student.net))
