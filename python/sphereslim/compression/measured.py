"""What a net costs and how well it does beside its original, each figure kept in a file and not measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sphereslim.compression.request import Request
from sphereslim.evaluation.speed import caffe_times
from sphereslim.evaluation.verification import evaluate
from sphereslim.files import ResultsFile, file_digest
from sphereslim.net.prototxt import read_net
from sphereslim.pruning.model import cost

ROUNDS = 3  # of `caffe time`, the nets in turns


class Figures:
    """Figures of nets for a Request, by the content of their files."""

    def __init__(
        self, request: Request, kept: ResultsFile, progress: Callable[[Iterable[Any]], Iterable[Any]] = iter
    ) -> None:
        self._request, self._kept, self._progress = request, kept, progress

    def accuracies(self, deploy: Path, weights: Path) -> dict[str, dict[str, Any]]:
        """{set: stored verification result} on every set."""
        request, found = self._request, {}
        for each in request.sets:
            key = f'accuracy {each.name} {file_digest(each.pairs)} {request.mirror} of {file_digest(deploy, weights)}'
            if key not in self._kept.results:
                result = evaluate(
                    deploy,
                    weights,
                    each.pairs,
                    each.pictures,
                    form=request.form,
                    mirror=request.mirror,
                    batch=request.batch,
                    progress=self._progress,
                )
                self._kept.keep(key, result.as_dict())
            found[each.name] = self._kept.results[key]
        return found

    def milliseconds(self, *deploys: Path) -> list[float]:
        """Forward times of a single picture by `caffe time`, medians, the nets measured in turns."""
        key = f'milliseconds of {", ".join(file_digest(deploy) for deploy in deploys)}'
        return self._kept.result(
            key, lambda: [times['forward'] for times in caffe_times(deploys, batch=1, iterations=10, rounds=ROUNDS)]
        )


def size_of(deploy: Path, weights: Path) -> dict[str, int]:
    """{macs, parameters, bytes} of a net: for one picture, and what its caffemodel takes."""
    macs, parameters = cost(read_net(deploy))
    return {'macs': macs, 'parameters': parameters, 'bytes': weights.stat().st_size}
