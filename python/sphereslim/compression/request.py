"""What is to be made smaller, how far, and in view of which pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sphereslim.compression.budgets import Budgets
from sphereslim.data.feed import Feed, feed_for
from sphereslim.data.pairs import PairSet
from sphereslim.data.pictures import list_images, sample_pictures
from sphereslim.data.preparation import InputForm
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.files import file_digest


@dataclass(frozen=True)
class Counts:
    """Pictures: to judge channels on, to measure distances on, and to refit and round the result on."""

    judge: int = 96
    test: int = 64
    refit: int = 512


@dataclass(frozen=True)
class Request:
    """The net of `deploy` and `weights` is made smaller in the folder `out`, in view of pictures of `images`.

    `images` is a folder or a list, `not_in` a pairs file whose people stay out of it. Accuracies are taken on `sets`,
    with mirrored pictures too where `mirror` says so. Numbers of channels become multiples of `multiple`. The result
    is distilled for `train_minutes` of CPU time, or on `gpu`; not at all for 0.
    """

    deploy: Path
    weights: Path
    images: Path
    out: Path
    budgets: Budgets = Budgets()
    sets: tuple[PairSet, ...] = ()
    form: InputForm = InputForm()
    mirror: bool = True
    not_in: Path | None = None
    multiple: int = 1
    train_minutes: float = 0.0
    counts: Counts = Counts()
    batch: int = 32
    seed: int = 0
    gpu: str | None = None

    def subject(self) -> dict[str, Any]:
        """What decides every step, whatever the budgets: another request of this subject continues in its folder."""
        return {
            'deploy': file_digest(self.deploy),
            'weights': file_digest(self.weights),
            'images': str(self.images),
            'pictures': len(list_images(self.images)),
            'not_in': file_digest(self.not_in) if self.not_in else None,
            'form': asdict(self.form),
            'counts': asdict(self.counts),
            'multiple': self.multiple,
            'seed': self.seed,
        }

    def feeds(self, net: caffe_pb2.NetParameter) -> tuple[Feed, Feed, Feed]:
        """Pictures for a deploy NetParameter: to judge channels on, to measure losses on, and to refit the result on.

        The last are those to judge channels on and more; no loss is measured on them.
        """
        counts = [self.counts.judge, self.counts.test, self.counts.refit]
        judge, test, more = sample_pictures(self.images, counts, self.seed, self.not_in)
        first, second, third = (feed_for(net, paths, self.form, self.batch) for paths in (judge, test, (*judge, *more)))
        return first, second, third

    def check(self) -> None:
        """SlimError for what contradicts itself."""
        if self.budgets.accuracy is not None and not self.sets:
            raise SlimError('an accuracy to keep needs pairs, expected --pairs and --pictures to measure it on')
        if self.train_minutes and self.budgets.is_empty():
            raise SlimError('a curve of trade-offs trains nothing, expected a budget beside the minutes of training')
