"""What the C library does with memory that was freed, set for a whole process: for commands, not for importers."""

import ctypes
import os
import platform

# names of glibc's mallopt (malloc.h), and the variables with which users set the same
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 32 << 20  # bytes
_VARIABLES = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for the next batch, instead of giving it back and fetching it anew, page by page.

    That can take a third of the time. Blocks of LARGEST_KEPT and more go back all the same: with small ones put into
    the gaps that they leave, a process can grow to twice what it needs. False, and nothing done, where the C library is
    another one or the environment says otherwise.
    """
    if platform.libc_ver()[0] != 'glibc' or any(name in os.environ for name in _VARIABLES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # the first alone would fix the second at 128 KiB, and every larger block would go back at once
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST_KEPT) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
