"""One command, several processes: starts them, passes signals on, and ends all when one fails."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import torch.distributed as dist

from caffe.errors import CaffeError

_GRACE_SECONDS = 10
_PROGRAM = 'import sys; sys.path[:] = {path!r}; from caffe.cli.main import main; sys.exit(main())'


def launch(arguments: Sequence[str], count: int, threads: int | None = None) -> None:
    """Run the `caffe` command with `arguments` in `count` processes on this machine, until all have ended.

    SIGINT, SIGHUP and SIGTERM go to process 0, which agrees with the others on what to do. `threads` limits the CPU
    threads of each where the user did not. Raises CaffeError naming the first process that failed.
    """
    store = dist.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
    children = [_start(arguments, rank, count, store.port, threads) for rank in range(count)]

    def pass_on(number: int, _: object) -> None:
        if children[0].poll() is None:
            children[0].send_signal(number)

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, pass_on)
    try:
        failed = _wait(children)
    finally:
        _end(children)
    if failed is not None:
        raise CaffeError(f'process {failed} of {count} {_how(children[failed].returncode)}; the training has ended')


def _start(arguments: Sequence[str], rank: int, count: int, port: int, threads: int | None) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        'RANK': str(rank),
        'LOCAL_RANK': str(rank),
        'WORLD_SIZE': str(count),
        'LOCAL_WORLD_SIZE': str(count),
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(port),
        'TORCHELASTIC_USE_AGENT_STORE': 'True',
        'TORCHELASTIC_RESTART_COUNT': '0',
        'CAFFE_LAUNCHER': str(os.getpid()),
    }
    if threads:
        environment.setdefault('OMP_NUM_THREADS', str(threads))
    # sessions of their own: a Ctrl-C in the terminal reaches them once, through this process
    return subprocess.Popen(
        [sys.executable, '-c', _PROGRAM.format(path=sys.path), *arguments], env=environment, start_new_session=True
    )


def _wait(children: list[subprocess.Popen[bytes]]) -> int | None:
    """The rank of the first process that failed, None when all ended well."""
    while True:
        codes = [child.poll() for child in children]
        for rank, code in enumerate(codes):
            if code:
                return rank
        if None not in codes:
            return None
        time.sleep(0.05)


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    """Let the others notice that one is gone, and kill those that do not (a GPU may wait for it for ever)."""
    until = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < until and any(child.poll() is None for child in children):
        time.sleep(0.05)
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()


def _how(code: int) -> str:
    return f'ended with status {code}' if code > 0 else f'was ended by {signal.Signals(-code).name}'


def follow_launcher() -> None:
    """End this process when the one that started it ends, however that happens (Linux)."""
    parent = os.environ.get('CAFFE_LAUNCHER')
    if parent and sys.platform == 'linux':
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != int(parent):
            os.kill(os.getpid(), signal.SIGKILL)
