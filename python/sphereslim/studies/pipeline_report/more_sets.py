"""Further pairs that the stages of a finished run are verified on, for its report."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sphereslim.data.pairs import PairSet
from sphereslim.data.preparation import InputForm
from sphereslim.evaluation.verification import evaluate
from sphereslim.files import ResultsFile, file_digest
from sphereslim.training.stage import Stage


def add_set(
    report: dict[str, Any],
    pair_set: PairSet,
    form: InputForm,
    mirror: bool,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> None:
    """Put the accuracy of every stage on a PairSet into the rows of `report`, and into the stage's evaluation.json.

    What is known there of the same pairs is not measured again.
    """
    key = f'{pair_set.name} {file_digest(pair_set.pairs)}, crop {form.crop}{", mirrored" if mirror else ""}'
    results = {row['stage']: row.setdefault('sets', {}) for row in report['rows']}
    for stage in progress([Stage(Path(report['folder'], name)) for name in results]):
        known = ResultsFile(stage.evaluation)
        if key not in known.results:
            found = evaluate(stage.deploy, stage.final, pair_set.pairs, pair_set.pictures, form=form, mirror=mirror)
            known.keep(key, found.as_dict())
        results[stage.name][pair_set.name] = known.results[key]
