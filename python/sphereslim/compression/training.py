"""The result distilled, label-free, by the original."""

from __future__ import annotations

from pathlib import Path

from sphereslim.compression.request import Request
from sphereslim.data.pictures import shuffled_pictures
from sphereslim.pruning.model import Model
from sphereslim.studies.one_shot import distillation
from sphereslim.training.stage import Stage, train_with_bar

BASE_LR, BATCH = 5e-4, 16


def trained(request: Request, student: Model, teacher: Model, folder: Path) -> Model:
    """The `student` after the minutes of the Request on all its pictures; the training goes on where it stopped."""
    stage = Stage(folder)
    if not stage.is_emitted():
        paths = [path.resolve() for path in shuffled_pictures(request.images, request.seed, request.not_in)]
        distillation.emit(
            stage, student, teacher, request.form, paths, request.train_minutes, BASE_LR, BATCH, request.seed
        )
    train_with_bar(stage, 'distilling', request.gpu)
    return distillation.distilled(stage, student)
