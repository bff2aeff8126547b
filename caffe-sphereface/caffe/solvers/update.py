"""One update of a net's parameters: clip, average, decay, rule."""

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import torch

from caffe import log
from caffe.blobs.memory_format import is_channels_last, to_format_of
from caffe.errors import CaffeError
from caffe.net.wiring import LearnableParameters
from caffe.proto import caffe_pb2
from caffe.solvers.rules import RULES, Settings, Tensors


def check_rule(param: caffe_pb2.SolverParameter, origin: str | Path) -> None:
    """Raise CaffeError, which names the file `origin`, unless the rule exists and has what it needs, and no more."""
    if param.type not in RULES:
        raise CaffeError(f"{origin}: solver type '{param.type}': expected one of {', '.join(sorted(RULES))}")
    if param.regularization_type not in ('L1', 'L2'):
        raise CaffeError(f"{origin}: regularization_type '{param.regularization_type}': expected L1 or L2")
    if param.type in ('AdaGrad', 'RMSProp') and param.momentum:
        raise CaffeError(f'{origin}: momentum is {param.momentum:g}, expected 0 with solver type {param.type}')
    if param.type == 'RMSProp' and not 0 <= param.rms_decay < 1:
        raise CaffeError(f'{origin}: rms_decay is {param.rms_decay:g}, expected at least 0 and less than 1')


class Updater:
    """Applies a solver's rule to the learnable parameters of a net and keeps the history.

    `history` is a flat list of tensors in the order of the solver state file: all parameters' first average, then all
    parameters' second one where the rule keeps two.
    """

    def __init__(self, param: caffe_pb2.SolverParameter, learnable: LearnableParameters) -> None:
        self.param, self.learnable = param, learnable
        self.rule, self._averages = RULES[param.type]
        self.history: Tensors = [torch.zeros(blob.shape) for _ in range(self._averages) for blob in learnable.blobs]

    def apply(self, rate: float, iteration: int) -> None:
        """Change every parameter whose lr_mult is not 0; its diff is the update that was subtracted."""
        blobs = self.learnable.blobs
        scale = self._clip_scale() / self.param.iter_size
        groups: dict[tuple[float, float], list[int]] = defaultdict(list)
        for k in range(len(blobs)):
            if self.learnable.lr[k]:
                groups[self.learnable.lr[k], self.learnable.decay[k]].append(k)
        for (lr_mult, decay_mult), members in groups.items():
            for k in members:
                self._bring_into_one_order(k)
            decay = self.param.weight_decay * decay_mult
            with ExitStack() as changes:
                w = [_as_it_lies(changes.enter_context(blobs[k].changing())) for k in members]
                g, decay = self._regularised([_as_it_lies(blobs[k].grad) for k in members], w, scale, decay)
                settings = Settings(self.param, rate * lr_mult, decay, iteration)
                updates = self.rule(w, g, self._history_of(members), settings)
            for k, update in zip(members, updates):
                tensor = blobs[k].tensor
                blobs[k].lend_grad(update.as_strided(tensor.shape, tensor.stride()))

    def _regularised(self, g: Tensors, w: Tensors, scale: float, decay: float) -> tuple[Tensors, float]:
        """(gradients scaled, with the decay of L1 in them; the decay that is left to the rule)."""
        if scale != 1:
            g = torch._foreach_mul(g, scale)
        if not decay or self.param.regularization_type != 'L1':
            return g, decay
        return torch._foreach_add(g, [x.sign() for x in w], alpha=decay), 0.0

    def _bring_into_one_order(self, k: int) -> None:
        """Let data, diff and history of parameter k lie in memory alike, since fused rules walk through memory.

        That is the order in which backward left the diff, which spares convolutions with their channels innermost
        ordering their weights in every pass. Parameters that Python looks at stay in the order of their shape.
        """
        blob, count = self.learnable.blobs[k], len(self.learnable.blobs)
        grad = blob.grad
        if blob.viewed() or not is_channels_last(grad):
            grad = grad.contiguous()
        if grad is not blob.grad:
            blob.grad = grad
        data = to_format_of(blob.tensor, grad)
        if data is not blob.tensor:
            blob.tensor = data
        for index in range(k, len(self.history), count):
            self.history[index] = to_format_of(self.history[index].to(grad.device), grad)

    def _history_of(self, members: list[int]) -> list[Tensors]:
        """A list for each average that the rule keeps, parallel to `members`."""
        count = len(self.learnable.blobs)
        return [[_as_it_lies(self.history[i * count + k]) for k in members] for i in range(self._averages)]

    def _clip_scale(self) -> float:
        """The factor that brings the global L2 norm of all diffs down to clip_gradients.

        A GPU is waited for here in every iteration, because the log says when something is clipped, as Caffe's does.
        """
        limit, blobs = self.param.clip_gradients, self.learnable.blobs
        if limit < 0 or not blobs:
            return 1.0
        norm = float(torch.stack(torch._foreach_norm([blob.grad for blob in blobs])).norm())
        if not norm > limit:  # not a number is left where it is, and scales no other gradient
            return 1.0
        log.info(
            'sgd_solver.cpp:84',
            f'Gradient clipping: scaling down gradients (L2 norm {log.number(norm)} > '
            f'{log.number(limit)}) by scale factor {log.number(limit / norm)}',
        )
        return limit / norm


def _as_it_lies(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory under the shape in whose order it lies, which is what kernels take for contiguous."""
    return tensor.permute(0, 2, 3, 1) if is_channels_last(tensor) else tensor
