"""The scripts of the published data, which hold any `caffe` against the numbers of a genuine one."""

import io
import re
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from unittest import mock

from sphereslim.engine import caffe

from gpu_checks.check import Check

_HOLD = re.compile(r'(\d+) of (\d+) .* hold$')
SHOWN = 20  # failures that are stated one by one; the log has them all


def hold_against(check: Check, name: str, script: str, *words: object, but: tuple[str, ...] = ()) -> None:
    """Run a script of tools/ with these words on the check's device, and state how much of what it compares holds.

    What does not is wrong, `but` for the cases of these names.
    """
    path = check.published('tools', script)
    check.choose()
    said = io.StringIO()
    # the scripts choose the CPU, since a genuine Caffe may have no GPU
    with (
        redirect_stdout(said),
        mock.patch.object(caffe, 'set_mode_cpu', lambda: None),
        mock.patch('sys.argv', [str(path), *map(str, words)]),
    ):
        try:
            _run(path)
        except SystemExit:
            pass
    lines = said.getvalue().splitlines()
    print('\n'.join(lines))
    found = _HOLD.match(lines[-1])
    if not found:
        raise RuntimeError(f'{path} ended without its count: {lines[-1]}')
    check.figure(name, {'hold': int(found[1]), 'of': int(found[2])})
    failures = [line.removeprefix('FAIL ') for line in lines if line.startswith('FAIL ')]
    failures = [line for line in failures if line.split()[0] not in but]
    if failures:
        check.wrong(name, failures[:SHOWN])


def _run(path: Path) -> None:
    """Run a file as a program does that is started with it, in this process."""
    spec = spec_from_file_location('__main__', path)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module_from_spec(spec))
