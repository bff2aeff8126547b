"""Every layer against the numbers of a genuine Caffe and of the forks' code."""

from gpu_checks.check import Check
from gpu_checks.published_scripts import hold_against

# a gradient that is 0 but for rounding: of a bias before a batch's mean is taken away
CANCELLED = ('bn_psp_inplace',)


def run(check: Check) -> None:
    for folder in ('layers', 'fork-layers'):
        hold_against(check, folder, 'check_goldens.py', check.published('goldens', folder), but=CANCELLED)
