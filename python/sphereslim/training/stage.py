"""A stage: a folder with everything that a person needs to run or inspect one training by hand.

train.prototxt deploy.prototxt solver.prototxt   what is trained, and how
init.caffemodel                                  where it starts (missing: from random weights)
selection.json                                   what was removed to get there (missing: nothing)
train.log final.caffemodel                       what came out
evaluation.json                                  accuracy before and after
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.engine_check import check_engine
from sphereslim.net.heads import advanced
from sphereslim.net.prototxt import read_net, read_solver, write_prototxt
from sphereslim.progress import bar
from sphereslim.training.caffe_train import Progress, SafetySnapshots, train
from sphereslim.training.schedule import Schedule, net_for, solver_for

_STATE = re.compile(r'_iter_(\d+)\.solverstate$')


class Stage:
    """The paths of one stage folder, and its training."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.train = self.folder / 'train.prototxt'
        self.deploy = self.folder / 'deploy.prototxt'
        self.solver = self.folder / 'solver.prototxt'
        self.selection = self.folder / 'selection.json'
        self.init = self.folder / 'init.caffemodel'
        self.log = self.folder / 'train.log'
        self.final = self.folder / 'final.caffemodel'
        self.evaluation = self.folder / 'evaluation.json'
        self.prefix = self.folder / 'snapshot'

    @property
    def name(self) -> str:
        """The folder's name, such as 01-conv1_1."""
        return self.folder.name

    def emit(
        self,
        train: caffe_pb2.NetParameter,
        deploy: caffe_pb2.NetParameter,
        solver: str | Path,
        schedule: Schedule,
        seed: int,
    ) -> None:
        """Write the stage's two nets, and a solver like the one in the file `solver`, on a Schedule."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_prototxt(self.train, net_for(train, schedule))
        write_prototxt(self.deploy, deploy)
        write_prototxt(self.solver, solver_for(read_solver(solver), schedule, self.train, self.prefix, seed))

    def is_emitted(self) -> bool:
        """Whether all that training needs is there; the solver is written last."""
        return self.solver.is_file()

    def is_trained(self) -> bool:
        """Whether training came to its end."""
        return self.final.is_file()

    def iterations(self) -> int:
        """How many iterations its training takes."""
        return read_solver(self.solver).max_iter

    def run(
        self,
        gpu: str | None = None,
        watch: Callable[[Progress], object] = lambda progress: None,
        harvest: Callable[[dict[int, Path]], object] = lambda snapshots: None,
    ) -> None:
        """Train to the end, from the stage's newest snapshot when there is one; nothing when it is trained already.

        At the end, before the snapshots are removed, `harvest` is called with {iteration: caffemodel} of those that the
        solver asks for.

        A snapshot is taken every SAFETY_SECONDS and when it is interrupted, whether the solver asks for any or not, and
        the next call goes on from there.
        SlimError tells what `caffe train` had to say when it fails.
        """
        if self.is_trained():
            return
        if not self.is_emitted():
            raise SlimError(f'{self.folder}: has no solver.prototxt, expected a stage folder')
        check_engine([self.train], [self.solver])
        solver = read_solver(self.solver)
        if Path(solver.snapshot_prefix).resolve() != self.prefix.resolve():
            raise SlimError(f"{self.solver}: snapshot_prefix '{solver.snapshot_prefix}', expected '{self.prefix}'")
        safety = SafetySnapshots(solver.max_iter - 2 * solver.display, lambda: self._thin(solver.snapshot))
        state, iteration = self._newest_state()
        if state:
            train(
                self._resume_solver(solver, iteration),
                self.log,
                snapshot=state,
                gpu=gpu,
                watch=watch,
                safety=safety,
            )
        else:
            self.log.unlink(missing_ok=True)
            weights = self.init if self.init.is_file() else None
            train(self.solver, self.log, weights=weights, gpu=gpu, watch=watch, safety=safety)
        self._finish(solver, harvest)

    def _newest_state(self) -> tuple[Path | None, int]:
        """(path, iteration) of the last whole snapshot, or (None, 0)."""
        states = [(_STATE.search(path.name), path) for path in self.folder.glob('snapshot_iter_*.solverstate')]
        found = [(int(state[1]), path) for state, path in states if state]
        whole = [(i, path) for i, path in found if path.with_suffix('.caffemodel').is_file()]
        iteration, path = max(whole, default=(0, None))
        return path, iteration

    def _resume_solver(self, solver: caffe_pb2.SolverParameter, iteration: int) -> Path:
        """A solver for the rest of the training, whose net's counters stand where the snapshot was taken."""
        net = self.folder / 'train_continued.prototxt'
        write_prototxt(net, advanced(read_net(self.train), iteration * solver.iter_size))
        solver.net = str(net)
        path = self.folder / 'solver_continued.prototxt'
        write_prototxt(path, solver)
        return path

    def _thin(self, interval: int) -> None:
        """Remove the snapshots before the newest whole one, but for those that the solver's own `interval` asks for."""
        newest = self._newest_state()[1]
        for path in self.folder.glob('snapshot_iter_*'):
            iteration = int(path.stem.rsplit('_', 1)[1])
            if iteration < newest and not _is_asked_for(iteration, interval):
                path.unlink()

    def _finish(self, solver: caffe_pb2.SolverParameter, harvest: Callable[[dict[int, Path]], object]) -> None:
        iterations = solver.max_iter
        last = self.folder / f'snapshot_iter_{iterations}.caffemodel'
        if not last.is_file():
            raise SlimError(
                f'{self.folder}: training stopped before iteration {iterations}; the same command continues'
            )
        found = {int(path.stem.rsplit('_', 1)[1]): path for path in self.folder.glob('snapshot_iter_*.caffemodel')}
        harvest({i: path for i, path in found.items() if i == iterations or _is_asked_for(i, solver.snapshot)})
        last.replace(self.final)
        for path in (*self.folder.glob('snapshot_iter_*'), *self.folder.glob('*_continued.prototxt')):
            path.unlink()


def train_with_bar(stage: Stage, title: str, gpu: str | None = None, **how: Any) -> None:
    """Train a Stage under a progress bar of its iterations, the time left and the loss; `how` goes to `Stage.run`."""
    total = stage.iterations()
    with bar(total=total, desc=f'{title}: training', unit='it') as shown:

        def watch(progress: Progress) -> None:
            shown.set_postfix(loss=f'{progress.loss:.3f}', refresh=False)
            shown.update(progress.iteration - shown.n)

        stage.run(gpu, watch, **how)
        shown.update(total - shown.n)


def _is_asked_for(iteration: int, interval: int) -> bool:
    """Whether the solver's own `snapshot` interval, 0 for none, falls on an iteration."""
    return bool(interval) and iteration % interval == 0
