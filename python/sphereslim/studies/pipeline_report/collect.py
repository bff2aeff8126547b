"""Everything a report shows, gathered from the stage folders of a run."""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.engine import caffe
from sphereslim.evaluation.speed import forward_milliseconds, kept_times, speed_ratio
from sphereslim.files import read_json
from sphereslim.logs import LogError, parse_log
from sphereslim.logs.trainings import LoggedTraining, trainings
from sphereslim.net.costs import one_picture
from sphereslim.net.prototxt import read_net
from sphereslim.studies.pipeline import Plan
from sphereslim.studies.pipeline_report.published import printed_for
from sphereslim.training.stage import Stage


def collect(
    plan: Plan, published: str | Path, progress: Callable[[Iterable[Any]], Iterable[Any]] = iter
) -> dict[str, Any]:
    """The report of a Plan's stages that are done, as plain values; `published` is the folder of published figures.

    Speed is measured once, on all stages in turns, and every time is kept in speed.json beside them.
    """
    stages = plan.stages()
    done = [stage for stage in stages if stage.is_trained()]
    speed = _speed(plan.folder / 'speed.json', done, progress)
    logs = {stage.name: _log(stage) for stage in done}
    name = read_net(plan.net / 'deploy.prototxt').name
    return {
        'title': f'{name} pruned to {plan.rate:g} by {plan.criterion}',
        'folder': str(plan.folder),
        'complete': len(done) == len(stages),
        'settings': {
            'net': str(plan.net),
            'layers': list(plan.layers),
            'rate': plan.rate,
            'criterion': plan.criterion,
            'seed': plan.seed,
            'base': asdict(plan.base),
            'fine_tune': asdict(plan.fine_tune),
            'last_round': asdict(plan.last_round) if plan.last_round else None,
        },
        'faces': {
            'list': str(plan.faces.train),
            'people': plan.faces.people,
            'pictures': plan.faces.count,
            'pairs': str(plan.faces.pairs),
        },
        'machine': {
            'system': platform.platform(),
            'cores': os.cpu_count(),
            'python': platform.python_version(),
            'caffe': f'{caffe.__version__} ({_place(os.path.dirname(caffe.__file__))})',
            'training': _devices(logs.values()),
        },
        'rows': [_row(stage, speed[stage.name], speed[done[0].name], logs[stage.name]) for stage in done],
        'selections': [
            {'stage': stage.name, **read_json(stage.selection)} for stage in done if stage.selection.is_file()
        ],
        'curves': {name: _curves(log) for name, log in logs.items()},
        'published': printed_for(published, name),
    }


def _place(path: str) -> str:
    """A path as the other paths of a report are: from the working folder where it lies in it."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _row(stage: Stage, times: Sequence[float], original: Sequence[float], log: LoggedTraining | None) -> dict[str, Any]:
    ratio, *quartiles = speed_ratio(original, times)
    sums = one_picture(read_net(stage.deploy))
    accuracy = read_json(stage.evaluation) if stage.evaluation.is_file() else {}
    selection = read_json(stage.selection) if stage.selection.is_file() else None
    return {
        'stage': stage.name,
        'folder': str(stage.folder),
        'filters': f'{len(selection["scores"])} → {len(selection["kept"])}' if selection else '',
        'parameters': sums.parameters,
        'macs': sums.macs,
        'model_bytes': sums.model_bytes,
        'milliseconds': float(np.median(times)),
        'speed_ratio': ratio,
        'speed_quartiles': quartiles,
        'before': accuracy.get('before'),
        'after': accuracy.get('after'),
        'training_seconds': _seconds(log),
    }


def _speed(
    path: Path, done: Sequence[Stage], progress: Callable[[Iterable[Any]], Iterable[Any]]
) -> dict[str, list[float]]:
    models = [(stage.deploy, stage.final) for stage in done]
    return kept_times(path, [stage.name for stage in done], lambda: forward_milliseconds(models, progress=progress))


def _log(stage: Stage) -> LoggedTraining | None:
    """The one training in a stage's log, or None where the log is gone or says nothing: a report is worth having."""
    try:
        return next(iter(trainings(parse_log(stage.log), stage.name)), None)
    except LogError:
        return None


def stage_curves(stage: Stage) -> dict[str, list[list[float]]]:
    """{quantity: [[iteration, value], …]} of what a stage's training log says."""
    return _curves(_log(stage))


def _curves(log: LoggedTraining | None) -> dict[str, list[list[float]]]:
    """{quantity: [[iteration, value], …]}."""
    return {name: curve.points() for name, curve in (log.curves if log else {}).items()}


def _seconds(log: LoggedTraining | None) -> float | None:
    """How long the training took, pauses left out; None where its log does not tell."""
    times = [curve.seconds[np.isfinite(curve.seconds)] for curve in (log.curves if log else {}).values()]
    return max((float(known.max()) for known in times if known.size), default=None)


def _devices(logs: Iterable[LoggedTraining | None]) -> str:
    gpus = sorted({str(gpu) for log in logs if log for run in log.runs for gpu in run.gpus})
    return f'GPU {", ".join(gpus)}' if gpus else 'CPU'
