#!/usr/bin/env python3
"""Fuzz the engine's readers of files with atheris, which follows the code that each input reaches.

Needs `pip install atheris` (Linux), best in an environment of its own beside the engine's requirements. Every target
runs in a process of its own with bounded time and memory; anything but a result or one clear CaffeError is a finding.
Findings are kept as files, which `--repeat FILE --target NAME` runs again. The inputs that reached new code are kept
too, so that a later run goes on from them. Ends with status 1 when there was a finding.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS_AN_INPUT = 60
IN_MEMORY = '/dev/shm' if os.path.isdir('/dev/shm') else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=int, default=120, help='how long to go on with each target (default: 120)')
    parser.add_argument('--target', action='append', help='only this (default: all; "list" names them)')
    parser.add_argument('--out', type=Path, default=Path('work/fuzz'), help='findings and inputs (default: work/fuzz)')
    parser.add_argument('--repeat', type=Path, help='run one file through the one target and end')
    parser.add_argument('--here', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        return fuzz_here(options.target[0], options.seconds, options.out)
    from fuzzing import whole_files

    targets = options.target or list(whole_files.TARGETS)
    if targets == ['list']:
        return print('\n'.join(whole_files.TARGETS))
    unknown = [name for name in targets if name not in whole_files.TARGETS]
    if unknown or (options.repeat and len(targets) != 1):
        parser.error(f'expected --target one of {", ".join(whole_files.TARGETS)}')
    if options.repeat:
        return repeat(whole_files, targets[0], options.repeat)
    return bool(sum([fuzz(name, options.seconds, options.out.resolve()) for name in targets]))


def repeat(whole_files, target, path):
    """Run a file through a target; what is not allowed is raised."""
    whole_files.caffe.init_log(2)
    with tempfile.TemporaryDirectory() as folder:
        whole_files.prepare(Path(folder))
        print('accepted' if whole_files.run(target, path.read_bytes(), folder) else 'refused in one line')


def fuzz(target, seconds, out):
    """Fuzz a target in a process of its own, and say how it ended; True when there was a finding."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'CAFFE_DATA_WORKERS': '1', 'GLOG_minloglevel': '2'}
    (out / target).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, '--here', '--target', target, '--seconds', str(seconds), '--out', str(out)]
    with open(out / f'{target}.log', 'wb') as log, tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        run = subprocess.run(command, env={**environment, 'TMPDIR': folder}, stdout=log, stderr=subprocess.STDOUT)
    lines = (out / f'{target}.log').read_text(errors='replace').splitlines()
    done = [
        line
        for line in lines
        if line.startswith('Done') or 'ERROR: ' in line or 'Error: ' in line or 'No module' in line or 'BINGO' in line
    ]
    found = 'FINDING: ' if run.returncode else ''
    print(f'{target}: {found}{" | ".join(done[-2:])} (see {out / target}.log)', flush=True)
    return run.returncode != 0


def fuzz_here(target, seconds, out):
    """Fuzz a target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=['caffe'], exclude=['caffe.proto.caffe_pb2']):
        from fuzzing import inputs, whole_files

        import caffe
    folder = tempfile.mkdtemp()
    caffe.init_log(3)
    whole_files.prepare(Path(folder))
    for i, content in enumerate(whole_files.seeds(target, folder)):
        (out / target / f'seed{i}').write_bytes(content)
    (out / 'words').write_text(''.join(f'"{word}"\n' for word in whole_files.words()))
    sys.stderr = open(os.devnull, 'w')  # one-line errors of commands; libFuzzer writes past it
    # what is far too large shall fail, not fill the machine
    resource.setrlimit(resource.RLIMIT_AS, (inputs.address_space() + inputs.MEMORY_BEYOND,) * 2)

    def one_input(content):
        whole_files.run(target, content, folder)

    atheris.Setup(
        [
            target,
            f'-max_total_time={seconds}',
            '-rss_limit_mb=4096',
            f'-timeout={SECONDS_AN_INPUT}',
            *([f'-dict={out}/words'] if target in ('net_text', 'solver_text') else []),
            f'-artifact_prefix={out}/{target}-',
            '-max_len=20000',
            '-print_final_stats=1',
            str(out / target),
        ],
        one_input,
    )
    atheris.Fuzz()


if __name__ == '__main__':
    sys.exit(main())
