#!/usr/bin/env python3
"""Feed the engine damaged and absurd files for as long as you like: every one must end in one clear error.

Works in processes of its own, so that a crash is found too. Each finding comes with the command that repeats it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from fuzzing import inputs
from tqdm import tqdm

SEEDS_A_PROCESS = 200


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=60, help='how long to go on (default: 60)')
    parser.add_argument('--target', action='append', choices=list(inputs.TARGETS), help='only this (default: all)')
    parser.add_argument('--seed', type=int, default=0, help='first seed (default: 0)')
    parser.add_argument('--count', type=int, default=0, help='run so many seeds of one target in this process and end')
    options = parser.parse_args()
    targets = options.target or list(inputs.TARGETS)
    if options.count:
        return run_here(targets[0], range(options.seed, options.seed + options.count))
    return run_for(options.seconds, targets, options.seed)


def run_here(target, seeds):
    """Run seeds of a target; prints each finding and returns 1 if there was any."""
    findings = 0
    with tempfile.TemporaryDirectory() as folder:
        inputs.caffe.init_log(2)
        inputs.prepare(Path(folder))
        for seed in seeds:
            print(f'at {target} {seed}', file=sys.stderr, flush=True)
            try:
                inputs.run_seed(target, seed, Path(folder))
            except Exception:
                findings += 1
                print(f'--target {target} --seed {seed} --count 1\n{traceback.format_exc()}', flush=True)
    return bool(findings)


def run_for(seconds, targets, seed):
    """Run all targets in turn until the time is over; 1 when something was found."""
    end, found, tried = time.monotonic() + seconds, 0, 0
    with tqdm(total=seconds, unit='s', bar_format='{l_bar}{bar}| {postfix}') as bar:
        while time.monotonic() < end:
            for target in targets:
                began = time.monotonic()
                run = subprocess.run(
                    [
                        sys.executable,
                        __file__,
                        '--target',
                        target,
                        '--seed',
                        str(seed),
                        '--count',
                        str(SEEDS_A_PROCESS),
                    ],
                    capture_output=True,
                    text=True,
                )
                tried += SEEDS_A_PROCESS
                if run.returncode:
                    found += 1
                    last = run.stderr.strip().splitlines()[-1:]
                    tqdm.write(run.stdout or f'the process ended with {run.returncode}: {last}')
                bar.set_postfix_str(f'{tried} inputs, {found} runs with findings')
                bar.update(min(time.monotonic() - began, seconds - bar.n))
            seed += SEEDS_A_PROCESS
    return bool(found)


if __name__ == '__main__':
    sys.exit(main())
