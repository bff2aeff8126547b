"""One update of a net's parameters: clip, average, decay, rule."""

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import torch

from caffe import log
from caffe.blobs.memory_format import is_channels_last, to_format_of
from caffe.blobs.number import Number
from caffe.errors import CaffeError
from caffe.net.wiring import LearnableParameters
from caffe.proto import caffe_pb2
from caffe.solvers.rules import RULES, Settings, Tensors, correction

# norms of gradients that are kept on a GPU until they are logged
_MOST_NORMS = 1000


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
        self._rates = {lr_mult: Number() for lr_mult in learnable.lr}
        self._norm: torch.Tensor | None = None  # of the last gradients, on a GPU, where they are clipped
        self._norms: list[torch.Tensor] = []  # those that are not logged yet

    def rates_lie_on(self, device: torch.device | None) -> None:
        """Have the rates as tensors on `device` from here on, where their values may change, or as numbers for None."""
        for number in self._rates.values():
            number.lie_on(device)

    def set_rate(self, rate: float, iteration: int) -> None:
        """Choose the learning rate of the next update, that of `iteration`."""
        factor = correction(self.param, iteration)
        for lr_mult, number in self._rates.items():
            number.set(rate * lr_mult * factor)

    def apply(self) -> None:
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
                settings = Settings(self.param, self._rates[lr_mult].value, decay)
                updates = self.rule(w, g, self._history_of(members), settings)
            for k, update in zip(members, updates):
                tensor = blobs[k].tensor
                blobs[k].lend_grad(update.as_strided(tensor.shape, tensor.stride()))

    def _regularised(self, g: Tensors, w: Tensors, scale: float | torch.Tensor, decay: float) -> tuple[Tensors, float]:
        """(gradients scaled, with the decay of L1 in them; the decay that is left to the rule)."""
        if isinstance(scale, torch.Tensor) or scale != 1:
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

    def _clip_scale(self) -> float | torch.Tensor:
        """The factor that brings the global L2 norm of all diffs down to clip_gradients; on a GPU a tensor there."""
        limit, blobs = self.param.clip_gradients, self.learnable.blobs
        if limit < 0 or not blobs:
            return 1.0
        norm = torch.stack(torch._foreach_norm([blob.grad for blob in blobs])).norm()
        if norm.device.type != 'cpu':
            self._norm = norm
            return torch.where(norm > limit, limit / norm, 1.0)
        value = float(norm)
        self._log_clipped(value)
        return limit / value if value > limit else 1.0  # not a number is left where it is, and scales no other gradient

    def note_clipping(self, told: bool) -> None:
        """After each update, log whether a GPU has clipped; without `told` later, since that waits for the GPU."""
        if self._norm is not None:
            self._norms.append(self._norm.clone())
        if told or len(self._norms) >= _MOST_NORMS:
            self.tell_clipping()

    def tell_clipping(self) -> None:
        """Log what was clipped and not logged yet."""
        norms, self._norms = self._norms, []
        for norm in torch.stack(norms).tolist() if norms else ():
            self._log_clipped(norm)

    def _log_clipped(self, norm: float) -> None:
        limit = self.param.clip_gradients
        if norm > limit:
            log.info(
                'sgd_solver.cpp:84',
                f'Gradient clipping: scaling down gradients (L2 norm {log.number(norm)} > '
                f'{log.number(limit)}) by scale factor {log.number(limit / norm)}',
            )


def _as_it_lies(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory under the shape in whose order it lies, which is what kernels take for contiguous."""
    return tensor.permute(0, 2, 3, 1) if is_channels_last(tensor) else tensor
