"""What a stage by hand takes from the run that its files belong to, where the command line says nothing else."""

import argparse
from pathlib import Path
from typing import Any

from sphereslim.files import read_json

DEFAULTS = {'criterion': 'obs', 'rate': 0.5, 'multiple': 1, 'batches': 4, 'seed': 0}


def run_of(path: str | Path) -> Path | None:
    """The run.json of the run that a file of a stage belongs to, None where it belongs to none."""
    found = Path(path).absolute().parent.parent / 'run.json'
    return found if found.is_file() else None


def take_from_run(args: argparse.Namespace, path: str | Path) -> None:
    """Set those of DEFAULTS that the command line leaves open as in the run of `path`, and print which those are."""
    run = run_of(path)
    known: dict[str, Any] = read_json(run) if run else {}
    taken = [name for name in DEFAULTS if getattr(args, name) is None and name in known]
    for name, default in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, known.get(name, default))
    if taken:
        print(f'as in {run}: {", ".join(f"{name} {getattr(args, name)}" for name in taken)}', flush=True)
