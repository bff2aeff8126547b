"""Solvers, trainings on real faces, batches of pictures and MTCNN's networks against a genuine Caffe's."""

from gpu_checks.check import Check
from gpu_checks.published_scripts import hold_against


def run(check: Check) -> None:
    folders = [check.published(*names) for names in (('goldens', 'trajectories'), ('data', 'orl'), ('data', 'mtcnn'))]
    hold_against(check, 'trajectories', 'check_trajectories.py', *folders)
