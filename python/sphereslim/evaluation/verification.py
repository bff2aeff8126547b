"""Verification accuracy: of a deploy net and its weights, or as a measure of many sets of weights of one net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.data.pairs import read_pairs
from sphereslim.data.preparation import InputForm, load
from sphereslim.errors import SlimError
from sphereslim.evaluation.features import features, features_of, open_deploy
from sphereslim.evaluation.paired import pack_right
from sphereslim.evaluation.protocol import fold_accuracies, judge, verify
from sphereslim.files import file_digest


@dataclass(frozen=True)
class Result:
    """`accuracy`: mean over the folds in percent, `error`: its standard error, `folds`: each one's, `pairs`: number.

    `right` says of each pair whether it is judged right, as `paired.pack_right` writes it, and `pairs_digest` which
    pairs they are: so that another net can be compared with this one pair by pair.
    """

    accuracy: float
    error: float
    folds: tuple[float, ...]
    pairs: int
    right: str = ''
    pairs_digest: str = ''

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def summarise(folds: Sequence[float] | np.ndarray, pairs: int) -> Result:
    """The Result of fold accuracies in percent."""
    error = np.std(folds, ddof=1) / np.sqrt(len(folds)) if len(folds) > 1 else 0.0
    return Result(float(np.mean(folds)), float(error), tuple(float(f) for f in folds), int(pairs))


def evaluate(deploy: str | Path, weights: str | Path, pairs: str | Path, folder: str | Path, **how: Any) -> Result:
    """The Result of a deploy prototxt with its caffemodel on `pairs` (a pairs.txt) over the pictures in `folder`.

    `how` goes to `features_of`: cache, form, feature, mirror, batch, progress.
    """
    return score(deploy, weights, pairs, folder, **how)[0]


def score(
    deploy: str | Path, weights: str | Path, pairs: str | Path, folder: str | Path, **how: Any
) -> tuple[Result, np.ndarray, np.ndarray]:
    """(Result, score of each pair, whether each pair is of the same person); arguments as `evaluate`."""
    listed = read_pairs(pairs, folder)
    features = features_of(deploy, weights, listed.pictures, **how)
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(broken):
        raise SlimError(
            f'{weights}: the features of {len(broken)} of {len(features)} pictures are not all numbers, '
            f'the first being {listed.pictures[broken[0]]}'
        )
    right, scores = judge(features, listed)
    result = summarise(fold_accuracies(right, listed.fold), len(listed.same))
    result = replace(result, right=pack_right(right), pairs_digest=file_digest(pairs))
    return result, scores, listed.same


class Verification:
    """A callable (deploy prototxt, caffemodel) -> mean accuracy over the folds in percent.

    `pairs` is a pairs.txt over the pictures in `folder`; `form`, `mirror`, `batch` and `progress` as for `extract`. All
    nets measured take pictures of one size; the uint8 pictures stay in memory (38 kB each at 112x112).
    """

    def __init__(
        self,
        pairs: str | Path,
        folder: str | Path,
        form: InputForm | None = None,
        mirror: bool = False,
        batch: int = 32,
        progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    ) -> None:
        self.pairs = read_pairs(pairs, folder)
        self.form, self.mirror, self.batch, self.progress = form or InputForm(), mirror, batch, progress
        self.images: np.ndarray | None = None

    def __call__(self, deploy: str | Path, weights: str | Path) -> float:
        net = open_deploy(deploy, weights)
        if self.images is None:
            channels, height, width = net.blobs[net.inputs[0]].data.shape[1:]
            self.images = np.stack(
                [load(path, channels, height, width, self.form.crop) for path in self.pairs.pictures]
            )
        images = self.images
        starts = range(0, len(images), self.batch)
        found = [
            features(net, images[start : start + self.batch], self.form, mirror=self.mirror)
            for start in self.progress(starts)
        ]
        return float(np.mean(verify(np.concatenate(found), self.pairs)[0]))
