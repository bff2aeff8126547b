"""Training and inference against torch.compile, which takes long to compile and so comes last."""

from gpu_checks import speed
from gpu_checks.check import Check, PassedOver

ROWS = [('sphereface-20', 256), ('sphereface-4', 32), (speed.MOBILE, 32)]


def run(check: Check) -> None:
    if check.tiny:
        raise PassedOver('compiling takes a minute on a CPU')
    for row in ROWS:
        for kind in ('training', 'inference'):
            speed.measure(check, kind, [row], ['compiled'])
