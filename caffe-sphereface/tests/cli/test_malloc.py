"""The C library's memory: kept by the command, left alone where users say otherwise and by `import caffe`."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
import caffe
if sys.argv[1] == 'keep':
    from caffe.cli.malloc import keep_freed_memory
    assert keep_freed_memory()
def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        [np.ones(int(sys.argv[2]) << 20, np.uint8) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(2)
print(faults(4))
"""


pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc is set')


def page_faults(how, mebibytes):
    """How often memory was fetched in four rounds of four blocks, after two such rounds."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(('MALLOC_', 'GLIBC_'))}
    return int(
        subprocess.run(
            [sys.executable, '-c', FAULTS, how, str(mebibytes)], env=clean, capture_output=True, text=True, check=True
        ).stdout
    )


def test_freed_memory_is_fetched_anew_unless_kept():
    assert page_faults('keep', 24) < page_faults('import', 24) / 4


def test_large_blocks_go_back_all_the_same():
    assert page_faults('keep', 24) < page_faults('keep', 40) / 4


def test_the_environment_has_the_last_word(monkeypatch):
    from caffe.cli.malloc import keep_freed_memory

    monkeypatch.setenv('MALLOC_TRIM_THRESHOLD_', '131072')
    assert not keep_freed_memory()
