"""What an RNN and an LSTM compute in one step, and the gradient of it.

`step(gates, cont, states)` takes the summed inputs of all gates (…, gates·H), the markers (…, 1) and the states, the
hidden one first; it returns the new states and what `step_back` needs. `step_back(kept, dstates)` takes the gradients
of the new states and returns that of the gate inputs and those of the old states after the hidden one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch

# what `step` keeps for `step_back`: a tensor or several, as the cell needs them
Kept: TypeAlias = torch.Tensor | tuple[torch.Tensor, ...]
States: TypeAlias = Sequence[torch.Tensor]


class Cell(NamedTuple):
    """A kind of recurrent net: how many gates and states it has, whether it has weights for its output, its steps."""

    gates: int
    states: int
    output: bool
    step: Callable[[torch.Tensor, torch.Tensor, States], tuple[States, Kept]]
    step_back: Callable[[Kept, States], tuple[torch.Tensor, States]]


def _rnn_step(gates: torch.Tensor, cont: torch.Tensor, states: States) -> tuple[States, Kept]:
    h = torch.tanh(gates)
    return (h,), h


def _rnn_step_back(h: Kept, dstates: States) -> tuple[torch.Tensor, States]:
    return torch.ops.aten.tanh_backward(dstates[0], h), ()


def lstm_step(gates: torch.Tensor, cont: torch.Tensor, states: States) -> tuple[States, Kept]:
    """i, f, o = σ of the first three quarters, g = tanh of the last; c' = f·c + i·g, h' = o·tanh(c').

    The forget gate is closed where a stream starts anew (Hochreiter & Schmidhuber 1997, without peepholes).
    """
    i, f, o = (part.sigmoid() for part in gates.chunk(4, -1)[:3])
    g, f, old = gates.chunk(4, -1)[3].tanh(), f * cont, states[1]
    c = f * old + i * g
    squashed = c.tanh()
    return (o * squashed, c), (i, f, o, g, old, squashed)


def lstm_step_back(kept: Kept, dstates: States) -> tuple[torch.Tensor, States]:
    """The gradients of the gate inputs and, as the only rest, of the old c."""
    i, f, o, g, old, squashed = kept
    dh, dc = dstates
    dc = dc + torch.ops.aten.tanh_backward(dh * o, squashed)
    dsigmoid, dtanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    parts = dsigmoid(dc * g, i), dsigmoid(dc * old, f), dsigmoid(dh * squashed, o), dtanh(dc * i, g)
    return torch.cat(parts, -1), (dc * f,)


LSTM = Cell(gates=4, states=2, output=False, step=lstm_step, step_back=lstm_step_back)
RNN = Cell(gates=1, states=1, output=True, step=_rnn_step, step_back=_rnn_step_back)
