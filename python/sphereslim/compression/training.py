"""The result distilled, label-free, by the original."""

from __future__ import annotations

from pathlib import Path

from sphereslim.channels.groups import Kept
from sphereslim.compression.request import Request
from sphereslim.data.pictures import shuffled_pictures
from sphereslim.pruning import distillation
from sphereslim.pruning.model import Model
from sphereslim.training.stage import Stage, train_with_bar


def trained(request: Request, student: Model, teacher: Model, kept: Kept, test: set[Path], folder: Path) -> Model:
    """The `student` after the minutes of the Request on its pictures but those of `test`.

    `kept` says which channels of the teacher it has. The training goes on where it stopped.
    """
    stage = Stage(folder)
    if not stage.is_emitted():
        every = shuffled_pictures(request.images, request.seed, request.not_in)
        paths = [path.resolve() for path in every if path not in test]
        how = (request.train_minutes, distillation.BASE_LR, distillation.BATCH, request.seed)
        distillation.emit(stage, student, teacher, request.form, paths, *how, kept=kept)
    train_with_bar(stage, 'distilling', request.gpu)
    return distillation.distilled(stage, student)
