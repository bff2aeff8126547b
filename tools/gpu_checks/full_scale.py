"""SCALE=full of every source: its nets start from a list of pictures, and train on with the published batch and solver.

Trained is in this process what `caffe train` would be given: the solver of a stage, whose iterations alone are fewer.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.nets import ROOT
from sphereslim.checkout import SETTINGS
from sphereslim.data.lists import Faces
from sphereslim.engine import caffe
from sphereslim.files import read_json
from sphereslim.rewrite.scaled import scaled_folder
from sphereslim.studies import pipeline
from sphereslim.studies.flame import run as flame
from sphereslim.studies.flame.lists import Lists
from sphereslim.studies.flame.nets import VARIANTS
from sphereslim.studies.flame.settings import read_settings
from sphereslim.studies.sphereface_plus import training
from sphereslim.training.schedule import Schedule
from sphereslim.training.stage import Stage

from caffe.device import now
from gpu_checks.check import Check
from gpu_checks.faces import generated_faces

ITERATIONS, PEOPLE, PICTURES = 20, 10572, 512
TINY_WIDTH = 0.1


def run(check: Check) -> None:
    check.choose()
    faces = generated_faces(check.folder / 'faces', *((8, 8) if check.tiny else (PICTURES, PEOPLE)))
    for name, stage in _stages(_Sources(check.folder, check.tiny, faces)):
        with check.apart(name):
            _train(check, name, stage)


def _train(check: Check, name: str, stage: Stage) -> None:
    began = time.perf_counter()
    solver = caffe.get_solver(str(stage.solver))
    started = now()
    solver.step(solver.param.max_iter)
    figures = {'ms an iteration': 1e3 * (now() - started) / solver.iter, 's to start': started - began}
    loss = float(solver.smoothed_loss())
    check.figure(name, figures | {'loss': loss, 'iterations': solver.iter})
    if not math.isfinite(loss):
        check.wrong(name, 'the loss is no number')
    solver.net.save(str(stage.final))


def _stages(sources: '_Sources') -> Iterator[tuple[str, Stage]]:
    """(name, stage) of every source's trainings, each written when the one before is trained."""
    yield from sources.pruned()
    yield from sources.plus()
    yield from sources.entropy()
    yield from sources.flame()


@dataclass(frozen=True)
class _Sources:
    """The trainings of the sources on `faces`, in folders of their own below `folder`."""

    folder: Path
    tiny: bool
    faces: Faces

    def pruned(self) -> Iterator[tuple[str, Stage]]:
        base = read_json(SETTINGS / 'sphereface-prune.full.json')['base']
        yield self._base('sphereface-4', read_json(SETTINGS / 'sphereface-4.full.json'))
        for depth in () if self.tiny else (10, 20):
            yield self._base(f'sphereface-prune {depth}', {'net': f'prototxt/sphereface-{depth}', 'base': base})

    def entropy(self) -> Iterator[tuple[str, Stage]]:
        for name, values in read_json(SETTINGS / 'entropy.full.json')['nets'].items():
            if not (self.tiny and name == 'vgg16'):
                yield self._base(f'entropy {name}', values)

    def plus(self) -> Iterator[tuple[str, Stage]]:
        values = read_json(SETTINGS / 'sphereface-plus.full.json')
        for name, chosen in list(values['margins'].items())[-1 if self.tiny else 0 :]:
            schedule = self._short({key: value for key, value in chosen.items() if key != 'alpha'})
            margin = training.Margin(name, ROOT / values['heads'] / name / 'train.prototxt', chosen['alpha'], schedule)
            folder, net = self.folder / f'plus-{name}', self._net(values['net'])
            plan = training.Plan(folder, net, self.faces, self._short(values['base']), (margin,), 1, ())
            base = plan.base_of(margin)
            training.emit_base(plan, margin, base)
            yield f'sphereface-plus {name} base', base
            ((stage, seed, alpha),) = plan.runs_of(margin)
            training.emit_run(plan, margin, stage, seed, alpha)
            yield f'sphereface-plus {name}', stage

    def flame(self) -> Iterator[tuple[str, Stage]]:
        settings = read_settings(SETTINGS / 'flame.full.json')
        settings = replace(settings, training=self._shortened(settings.training), width=TINY_WIDTH if self.tiny else 1)
        faces = self.faces
        lists = Lists(faces.pictures, faces.train, faces.train, faces.people, faces.count, faces.count)
        made = flame.Run(self.folder / 'flame', ROOT / settings.net, settings, lists, None)
        for variant in list(VARIANTS)[: 1 if self.tiny else None]:
            flame.emit_variant(made, variant)
            yield f'flame {variant}', made.stage(variant)
        flame.emit_distilled(made)
        yield 'flame distilled', made.stage('distilled')

    def _base(self, name: str, values: dict[str, Any]) -> tuple[str, Stage]:
        """A source's base training, by its settings."""
        schedule = self._short(values['base'])
        folder = self.folder / name.replace(' ', '-')
        fitted = values.get('fit_start', False)
        plan = pipeline.Plan(
            folder, self._net(values['net']), self.faces, (), 1.0, 'l1', schedule, schedule, None, fit_start=fitted
        )
        stage = plan.stages()[0]
        pipeline.emit_base(plan, stage)
        return name, stage

    def _net(self, name: str) -> Path:
        return scaled_folder(ROOT / name, self.folder / 'nets' / name, TINY_WIDTH if self.tiny else 1)

    def _short(self, values: dict[str, Any]) -> Schedule:
        return self._shortened(Schedule.from_dict(values))

    def _shortened(self, schedule: Schedule) -> Schedule:
        if self.tiny:
            return replace(schedule, iterations=1, batch=2, display=1, snapshot=0)
        return replace(schedule, iterations=ITERATIONS, display=ITERATIONS, snapshot=0)
