"""`caffe train` killed at random moments: every snapshot whole, every resume going on."""

import subprocess
import sys

from benchmarks.nets import ROOT

from gpu_checks.check import Check


def run(check: Check) -> None:
    kills = 1 if check.tiny else 3
    script = ROOT / 'tools' / 'torture_snapshots.py'
    command = [sys.executable, str(script), '--kills', str(kills), '--folder', str(check.folder), *check.gpu_words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    told = (done.stdout.splitlines() or ['nothing was told'])[-1]
    if done.returncode:
        check.wrong('torture_snapshots', told)
    else:
        check.figure('torture_snapshots', told)
