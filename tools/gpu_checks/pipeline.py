"""SphereFace-4 trained, pruned layer by layer and fine-tuned by `caffe train`, and verified, in few iterations."""

import time

from benchmarks.nets import ROOT
from sphereslim.studies import pipeline
from sphereslim.training.schedule import Schedule

from gpu_checks.check import Check
from gpu_checks.faces import generated_faces

LAYERS = ('conv1_1', 'conv2_1')


def run(check: Check) -> None:
    check.choose()
    batch, iterations, layers = (2, 1, LAYERS[:1]) if check.tiny else (64, 20, LAYERS)
    schedule = Schedule(iterations, 0.01, batch, display=1)
    faces = generated_faces(check.folder / 'faces', 8 if check.tiny else 128, 8 if check.tiny else 1000)
    plan = pipeline.Plan(
        check.folder / 'run',
        ROOT / 'prototxt' / 'sphereface-4',
        faces,
        layers,
        0.5,
        'greedy_pair',
        schedule,
        schedule,
        None,
    )
    pipeline.check(plan)
    began = time.monotonic()
    pipeline.run_stages(plan, None if check.gpu is None else str(check.gpu))
    check.figure('seconds', time.monotonic() - began)
    for stage in plan.stages():
        check.figure(stage.name, {'MiB': stage.final.stat().st_size / 2**20})
