"""Training against a module of PyTorch's, as written and in channels_last: pictures/s."""

from gpu_checks import speed
from gpu_checks.check import Check


def run(check: Check) -> None:
    speed.measure(check, 'training', speed.TINY if check.tiny else speed.ROWS, ['torch', 'channels_last'])
