"""An iteration of a solver on a GPU, forward, backward and update, as one CUDA graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from caffe import device
from caffe.net.captured import CapturedPass
from caffe.solvers import policy

if TYPE_CHECKING:
    from caffe.solvers.solver import Solver


class CapturedStep:
    """What a solver does between two looks at its blobs.

    A learning rate that stays for many iterations is a part of the graph, which is captured anew with another one;
    where it changes from iteration to iteration it is a tensor.
    """

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._pass = CapturedPass(solver.net, 'training step', self._work, lambda: solver.updater.history)

    def obstacle(self) -> str | None:
        """Why iterations cannot be captured; None where they can."""
        param = self._solver.param
        if not device.cuda_graphs():
            return 'CUDA graphs are switched off'
        if param.iter_size > 1:
            return f'iter_size is {param.iter_size}'
        if param.lr_policy == 'plateau':
            return 'lr_policy plateau follows the loss of each iteration'
        if self._solver.shows_gradients:
            return 'a callback, or another process, has to see the gradients before each update'
        return self._pass.obstacle()

    def run(self) -> torch.Tensor | float | None:
        """Do an iteration, its update included: the loss; None, and nothing done, where it can never be captured."""
        solver = self._solver
        reason = self.obstacle()
        if reason is not None:
            self._pass.decline(reason)
            solver.updater.rates_lie_on(None)
            return None
        rate = solver.next_rate()
        is_steady = policy.is_steady(solver.param, solver.iter) and solver.param.type != 'Adam'
        solver.updater.rates_lie_on(None if is_steady else device.device())
        solver.updater.set_rate(rate, solver.iter)
        return self._pass.run(rate if is_steady else None)

    def _work(self) -> torch.Tensor | float:
        solver, net = self._solver, self._solver.net
        last = len(net.layers) - 1
        net.clear_param_diffs()
        loss = net.compute(0, last, self._pass.ahead)
        net.run_backward(last)
        solver.updater.apply()
        return loss
