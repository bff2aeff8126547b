"""Everything a report shows, gathered from the stage folders of a run."""

import os
import platform
from dataclasses import asdict

from sphereslim.engine import caffe
from sphereslim.files import read_json, write_json
from sphereslim.logs import parse_log
from sphereslim.logs.stages import stages as log_stages
from sphereslim.netparts import NETWORK
from sphereslim.netstats import measure, total
from sphereslim.prototxt import input_shape, read_net
from sphereslim.speed import forward_milliseconds


def collect(plan, progress=iter):
    """The report of a Plan's stages that are done, as plain values.

    Speed is measured once, on all stages in turns, and kept in speed.json beside them.
    """
    done = [stage for stage in plan.stages() if stage.is_trained()]
    speed = _speed(plan.folder / 'speed.json', done, progress)
    rows = [_row(stage, speed[stage.name], speed[done[0].name]) for stage in done]
    return {
        'title': f'{read_net(plan.net / "deploy.prototxt").name} pruned to {plan.rate:g} by {plan.criterion}',
        'settings': {'net': str(plan.net), 'layers': list(plan.layers), 'rate': plan.rate, 'criterion': plan.criterion,
                     'seed': plan.seed, 'base': asdict(plan.base), 'fine_tune': asdict(plan.fine_tune),
                     'last_round': asdict(plan.last_round)},
        'faces': {'list': str(plan.faces.train), 'people': plan.faces.people, 'pictures': plan.faces.count,
                  'pairs': str(plan.faces.pairs)},
        'machine': {'system': platform.platform(), 'cores': os.cpu_count(), 'python': platform.python_version(),
                    'caffe': f'{caffe.__version__} ({os.path.dirname(caffe.__file__)})'},
        'rows': rows,
        'selections': [{'stage': stage.name, **read_json(stage.selection)} for stage in done
                       if stage.selection.is_file()],
        'curves': {stage.name: _curves(stage) for stage in done},
    }


def _row(stage, milliseconds, original):
    stats = measure(read_net(stage.deploy), shape=_one(stage))
    sums = total(stats, NETWORK)
    accuracy = read_json(stage.evaluation) if stage.evaluation.is_file() else {}
    selection = read_json(stage.selection) if stage.selection.is_file() else None
    return {'stage': stage.name, 'folder': str(stage.folder),
            'filters': f'{len(selection["scores"])} → {len(selection["kept"])}' if selection else '',
            'parameters': sums.parameters, 'macs': sums.macs, 'model_bytes': sums.model_bytes,
            'milliseconds': milliseconds, 'speed_ratio': original / milliseconds,
            'before': accuracy.get('before'), 'after': accuracy.get('after')}


def _one(stage):
    """The input shape of the deploy net for a single picture."""
    return (1, *input_shape(read_net(stage.deploy))[1:])


def _speed(path, done, progress):
    known = read_json(path) if path.is_file() else {}
    if set(known) != {stage.name for stage in done}:
        models = [(stage.deploy, stage.final) for stage in done]
        times = forward_milliseconds(models, progress=progress)
        known = dict(zip([stage.name for stage in done], times))
        write_json(path, known)
    return known


def _curves(stage):
    """{quantity: [[iteration, value], …]} of a stage's log."""
    merged = log_stages(parse_log(stage.log), stage.name)
    curves = merged[0].curves if merged else {}
    return {name: [[int(i), float(v)] for i, v in zip(curve.iteration, curve.value)] for name, curve in curves.items()}
