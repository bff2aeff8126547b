"""The Solver: train nets and test nets, the iterations between them, snapshots and resumes."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from caffe import log, random
from caffe.device import cuda_graphs
from caffe.errors import CaffeError
from caffe.layer_errors import named_after
from caffe.net.caffemodel import check_dialect
from caffe.net.debug_info import DebugInfo
from caffe.net.net import Net
from caffe.parallel.peers import Peers
from caffe.parallel.rank import is_root
from caffe.proto import caffe_pb2
from caffe.proto.files import read_solver
from caffe.solvers import average_precision, policy, report, state_files
from caffe.solvers.captured_step import CapturedStep
from caffe.solvers.nets import test_net_params, train_net_param
from caffe.solvers.update import Updater, check_rule

# what is called in every iteration; an empty text stands for nothing
Callback = Callable[[], object] | str


@runtime_checkable
class Callbacks(Protocol):
    """An object with both callbacks of a solver, such as caffe.NCCL."""

    def on_start(self) -> object:
        """Called before each iteration's forward."""

    def on_gradients_ready(self) -> object:
        """Called before each update."""


class Solver:
    """Optimises the net that a solver prototxt (a path or a SolverParameter) describes.

    `net`, `test_nets`, `iter`, `lr` and `param` can be looked at between steps. Raises CaffeError for bad files.
    """

    kind: str | None = None

    def __init__(self, source: str | Path | caffe_pb2.SolverParameter, origin: str | Path | None = None) -> None:
        self.param = read_solver(source)
        if self.kind:
            self.param.type = self.kind
        self.origin = source if isinstance(source, (str, Path)) else origin
        log.info('solver.cpp:44', f'Initializing solver from parameters: \n{self.param}')
        policy.check_policy(self.param, self.origin or 'solver')
        check_rule(self.param, self.origin or 'solver')
        self._check()
        if self.param.random_seed >= 0:
            random.set_seed(self.param.random_seed)
        self.iter, self.current_step, self.plateau = 0, 0, policy.Plateau()
        self.net = self._make_net(train_net_param(self.param, self.origin), caffe_pb2.TRAIN)
        tests = test_net_params(self.param, self.origin) if is_root() else []
        self.test_nets = [self._make_net(p, caffe_pb2.TEST) for p in tests]
        if is_root():
            check_dialect(self.net)
            self._take_weights()
        self.updater = Updater(self.param, self.net.learnable)
        self.debug_info = self.net.debug_info or (DebugInfo(self.net) if self.param.debug_info else None)
        self.action: Callable[[], str | None] = lambda: None
        self.peers: Peers | None = None
        self.stopped_early = False
        # whether the backward that runs is the last one before an update
        self.completes_gradients = False
        self._callbacks: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self.shows_gradients = False  # to a callback, before each update
        self._captured: CapturedStep | None = None
        self._losses: deque[torch.Tensor | float] = deque(maxlen=max(1, self.param.average_loss))
        self._last_snapshot: int | None = None  # its iteration
        self._last_state: str | None = None  # the newest .solverstate that was written or restored
        log.info('solver.cpp:56', 'Solver scaffolding done.')

    def _check(self) -> None:
        for field in ('iter_size', 'average_loss'):
            if getattr(self.param, field) < 1:
                raise CaffeError(f'{self.origin}: {field} is {getattr(self.param, field)}, expected at least 1')
        if self.param.eval_type not in ('classification', 'detection'):
            raise CaffeError(f"{self.origin}: eval_type '{self.param.eval_type}', expected classification or detection")
        average_precision.check_version(self.param.ap_version, self.origin or 'solver')
        if self.param.snapshot:
            self._check_folder()

    def _check_folder(self) -> None:
        folder = Path(self._prefix()).parent
        if not folder.is_dir():
            raise CaffeError(f'{self.origin}: snapshot_prefix {self._prefix()}: no folder {folder} to write into')
        if not os.access(folder, os.W_OK):
            raise CaffeError(f'{self.origin}: snapshot_prefix {self._prefix()}: the folder {folder} cannot be written')

    def _make_net(self, named: tuple[str, caffe_pb2.NetParameter], phase: int) -> Net:
        origin, param = named
        log.info('solver.cpp:87', f'Creating {"training" if phase == caffe_pb2.TRAIN else "test"} net from {origin}')
        with named_after(origin):
            net = Net(param, phase)
        net.origin = origin
        return net

    def _take_weights(self) -> None:
        """Parameters from the caffemodels that `weights` names; test nets may have layers that are not trained."""
        for path in (name.strip() for names in self.param.weights for name in names.split(',')):
            log.info('caffe.cpp:155', f'Finetuning from {path}')
            for net in (self.net, *self.test_nets):
                net.copy_from(path)

    # -- training -----------------------------------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The learning rate of the last update, or of the first one before any."""
        return self._rate(self.current_step)

    def _rate(self, step: int) -> float:
        return policy.learning_rate(self.param, self.iter, step, self.origin or 'solver')

    def step(self, iterations: int) -> None:
        """Run a number of training iterations."""
        stop = self.iter + iterations
        self._losses.clear()
        clock = report.Clock(self.iter)
        while self.iter < stop:
            self.net.clear_param_diffs()
            if self._is_test_time():
                self.test_all()
                if self.stopped_early:
                    break
            for on_start, _ in self._callbacks:
                on_start()
            if self.debug_info:
                self.debug_info.active = self.param.debug_info and self._is_display_time()
            replayed = self._replayed()
            self._losses.append(self._forward_backward() if replayed is None else replayed)
            if self._is_display_time():
                report.training(self.net, self.iter, self.smoothed_loss(), clock, self.param.display)
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            if replayed is None:
                self.apply_update()
            else:
                self._take_rate()
            self.updater.note_clipping(self._is_display_time())
            self.iter += 1
            if self._obey(self.action()):
                break
        self.updater.tell_clipping()

    def _replayed(self) -> torch.Tensor | float | None:
        """The loss of an iteration with its update as a CUDA graph does it; None, and nothing done, without one."""
        if self._captured is None and cuda_graphs():
            self._captured = CapturedStep(self)
        return self._captured.run() if self._captured else None

    def _forward_backward(self) -> torch.Tensor | float:
        loss: torch.Tensor | float = 0.0
        for i in range(self.param.iter_size):
            loss = loss + self.net.run_forward()
            self.completes_gradients = i == self.param.iter_size - 1
            self.net.run_backward()
        self.completes_gradients = False
        return loss / self.param.iter_size

    def _obey(self, request: str | None) -> bool:
        """Snapshot when due or asked for; True when asked to stop."""
        if (self.param.snapshot and self.iter % self.param.snapshot == 0) or request == 'snapshot':
            self.snapshot()
        self.stopped_early = self.stopped_early or request == 'stop'
        return self.stopped_early

    def _is_display_time(self) -> bool:
        return bool(self.param.display) and self.iter % self.param.display == 0 and is_root()

    def _is_test_time(self) -> bool:
        return (
            bool(self.param.test_interval and self.test_nets)
            and self.iter % self.param.test_interval == 0
            and (self.iter > 0 or self.param.test_initialization)
        )

    def smoothed_loss(self) -> float:
        """The mean loss over the last `average_loss` iterations of this `step` call."""
        return sum(float(loss) for loss in self._losses) / max(1, len(self._losses))

    def apply_update(self) -> None:
        """Update the parameters from their diffs at the present iteration's rate."""
        self.updater.set_rate(self._take_rate(), self.iter)
        self.updater.apply()
        if self.debug_info:
            self.debug_info.updated()

    def next_rate(self) -> float:
        """The learning rate of the next update, where it does not depend on the loss."""
        return self._rate(policy.next_step(self.param, self.iter, self.current_step))

    def _take_rate(self) -> float:
        """Go on to the present iteration's learning rate, and log it where that is due."""
        step = self._next_step()
        if self.param.lr_policy in _STEP_WORDS and step != self.current_step:
            log.info(
                'sgd_solver.cpp:46', f'{_STEP_WORDS[self.param.lr_policy]} Status: Iteration {self.iter}, step = {step}'
            )
        self.current_step = step
        rate = self._rate(step)
        if self._is_display_time():
            log.info('sgd_solver.cpp:105', f'Iteration {self.iter}, lr = {log.number(rate)}')
        return rate

    def _next_step(self) -> int:
        if self.param.lr_policy == 'plateau' and self._losses:
            return self.plateau.next_step(self.param, self.iter, self.current_step, self.smoothed_loss())
        return policy.next_step(self.param, self.iter, self.current_step)

    def solve(self, resume_file: str | None = None) -> None:
        """Train to max_iter, from a .solverstate when given, with the snapshots and tests that are due at the end.

        A training that is stopped early snapshots even where `snapshot_after_train` is off, so that nothing is lost.
        """
        if self.param.snapshot_after_train and is_root():
            self._check_folder()
        log.info('solver.cpp:272', f'Solving {self.net.name}')
        log.info('solver.cpp:273', f'Learning Rate Policy: {self.param.lr_policy}')
        self.stopped_early = False
        if resume_file and is_root():
            log.info('solver.cpp:285', f'Restoring previous solver status from {resume_file}')
            self.restore(resume_file)
        if self.peers:
            self.peers.align(self)
        self.step(self.param.max_iter - self.iter)
        if (self.param.snapshot_after_train or self.stopped_early) and self._last_snapshot != self.iter:
            self.snapshot()
        if self.stopped_early:
            log.info('solver.cpp:295', 'Optimization stopped early.')
            return
        if self._is_display_time():
            self._losses.append(self.net.run_forward())
            log.info('solver.cpp:310', f'Iteration {self.iter}, loss = {log.number(self.smoothed_loss())}')
        if self._is_test_time():
            self.test_all()
        log.info('solver.cpp:315', 'Optimization Done.')

    # -- testing ------------------------------------------------------------------------------------------------------

    def test_all(self) -> None:
        """Run every test net for its test_iter batches with the present weights and log the mean outputs."""
        for index, net in enumerate(self.test_nets):
            log.info('solver.cpp:330', f'Iteration {self.iter}, Testing net (#{index})')
            net.share_with(self.net)
            if self.param.eval_type == 'detection':
                average_precision.testing(net, self.param.test_iter[index], self.param, self._asked_to_stop)
            else:
                report.testing(net, self.param.test_iter[index], self.param.test_compute_loss, self._asked_to_stop)

    def _asked_to_stop(self) -> bool:
        if self.peers:
            # they wait for this process's gradients; all stop together once they have them
            return self.peers.wants_stop()
        request = self.action()
        if request == 'snapshot':
            self.snapshot()
        self.stopped_early = self.stopped_early or request == 'stop'
        return self.stopped_early

    # -- files --------------------------------------------------------------------------------------------------------

    def _prefix(self) -> str:
        """snapshot_prefix; the solver's own name where it is missing, inside it where it is a folder."""
        stem = Path(self.origin).with_suffix('') if self.origin else Path('solver')
        if not self.param.snapshot_prefix:
            return str(stem)
        if Path(self.param.snapshot_prefix).is_dir():
            return str(Path(self.param.snapshot_prefix) / stem.name)
        return self.param.snapshot_prefix

    def snapshot(self) -> None:
        """Write weights, then the state that names them; each file whole or not at all.

        Files of the same names are replaced. Of several processes that train together only the first one writes.
        Raises CaffeError, which says what the training can be continued from, where a file cannot be written.
        """
        if not is_root():
            return
        hdf5 = self.param.snapshot_format == caffe_pb2.SolverParameter.HDF5
        ending, kind = ('.h5', 'HDF5') if hdf5 else ('', 'binary proto')
        stem = f'{self._prefix()}_iter_{self.iter}'
        weights, state = f'{stem}.caffemodel{ending}', f'{stem}.solverstate{ending}'
        plateau = self.plateau if self.param.lr_policy == 'plateau' else None
        try:
            log.info('solver.cpp:447', f'Snapshotting to {kind} file {weights}')
            save = self.net.save_hdf5 if hdf5 else self.net.save
            save(weights, self.param.snapshot_diff)
            log.info('sgd_solver.cpp:273', f'Snapshotting solver state to {kind} file {state}')
            state_files.write_state(state, self.iter, self.current_step, weights, self.updater.history, plateau)
        except CaffeError as error:
            raise CaffeError(f'{error}; {self._what_stays()}') from None
        self._last_snapshot, self._last_state = self.iter, state

    def _what_stays(self) -> str:
        if self._last_state:
            return f'the training can be continued from {self._last_state}'
        return f'no snapshot of this training was written before iteration {self.iter}'

    def restore(self, path: str) -> None:
        """Continue from a .solverstate: its weights, iteration, rate step and history."""
        iteration, step, learned_net, history, self.plateau = state_files.read_state(path)
        if learned_net:
            self.net.copy_from(str(state_files.find_weights(learned_net, path)))
        state_files.restore_history(self.updater, history, path)
        self.iter, self.current_step, self._last_state = iteration, step, path

    # -- what pycaffe offers besides ----------------------------------------------------------------------------------

    def share_weights(self, net: Net) -> None:
        """Let another net use the training net's parameters."""
        net.share_with(self.net)

    def add_callback(self, on_start: Callback | Callbacks, on_gradients_ready: Callback | None = None) -> None:
        """Call `on_start()` before each iteration's forward and `on_gradients_ready()` before each update.

        One object with methods of these names (such as caffe.NCCL) does as well. An empty text is no call: pycaffe's
        train.py has it as `on_start`.
        """
        if on_gradients_ready is None and isinstance(on_start, Callbacks):
            self._callbacks.append((on_start.on_start, on_start.on_gradients_ready))
        elif on_gradients_ready is None:
            raise CaffeError('add_callback: expected two functions, or an object with on_start and on_gradients_ready')
        else:
            self._callbacks.append((_function(on_start), _function(on_gradients_ready)))
        self.shows_gradients = self.shows_gradients or on_gradients_ready is None or callable(on_gradients_ready)


_STEP_WORDS = {'multistep': 'MultiStep', 'plateau': 'Plateau'}


def _function(callback: object) -> Callable[[], object]:
    return callback if callable(callback) else lambda: None
