"""RNN and LSTM over sequences, and LSTMUnit, one step of an LSTM."""

from collections.abc import Callable
from math import prod

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.recurrent.cells import LSTM, RNN, States, lstm_step, lstm_step_back
from caffe.layers.support.parameters import add_parameter
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2

_CELLS = {'LSTM': LSTM, 'RNN': RNN}


@register(*_CELLS)
class Recurrent(Layer):
    """A recurrent net run over T steps of N independent streams.

    Bottoms: x (T, N, …); markers (T, N), 0 where a stream starts anew and 1 where it continues; optionally a static
    input (N, …) seen at every step; with `expose_hidden` the initial states (1, N, H). Tops: outputs (T, N, H); with
    `expose_hidden` the final states (1, N, H). Without it the states carry over from one forward to the next. No
    gradient crosses the ends of the sequence, into exposed states either.

    Parameters: input weights and bias, static weights where there is a static input, hidden weights, and for an RNN
    output weights and bias.
    """

    over_time = True

    def __init__(self, param: caffe_pb2.LayerParameter, phase: int = 0) -> None:
        super().__init__(param, phase)
        self.cell = _CELLS[param.type]
        self.exposed = self.cell.states if param.recurrent_param.expose_hidden else 0
        self.bottoms = (2 + self.exposed, 3 + self.exposed)
        self.tops = 1 + self.exposed
        self.no_diff_bottoms = (1,)
        self.no_capture = None if self.exposed else 'its states carry over from one forward to the next'
        self._states: States = []

    def blobs_of_module(self, tensor: Callable[[str], np.ndarray]) -> list[np.ndarray]:
        """Values for `blobs` from those of a torch.nn.LSTM of one layer, with gates i, f, g, o and two biases."""
        if self.cell is not LSTM:
            self.error('has no module of PyTorch that computes the same, expected "LAYER[I] KEY" for each blob')
        bias = tensor('bias_ih_l0') + tensor('bias_hh_l0')
        quarters = [np.split(value, 4) for value in (tensor('weight_ih_l0'), bias, tensor('weight_hh_l0'))]
        return [np.concatenate([i, f, o, g]) for i, f, g, o in quarters]

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(bottom[0].shape) < 2:
            self.error(f'bottom of shape {bottom[0].shape}, expected (steps, streams, …)')
        self.steps = bottom[0].shape[0]
        self.static = len(bottom) > 2 + self.exposed
        self.hidden, self.inputs = self.param.recurrent_param.num_output, prod(bottom[0].shape[2:])
        if not self.hidden:
            self.error('num_output is 0, expected at least 1')
        wide = self.cell.gates * self.hidden
        self._learn(wide, self.inputs)
        self._learn(wide)
        if self.static:
            self._learn(wide, prod(bottom[2].shape[1:]))
        self._learn(wide, self.hidden)
        if self.cell.output:
            self._learn(self.hidden, self.hidden)
            self._learn(self.hidden)

    def _learn(self, *shape: int) -> None:
        param = self.param.recurrent_param
        add_parameter(self, shape, param.weight_filler if len(shape) > 1 else param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, cont = bottom[0].shape, bottom[1].shape
        if x[0] != self.steps:
            self.error(f'bottom of shape {x}, expected {self.steps} steps as at first')
        self.streams = x[1]
        if prod(x[2:]) != self.inputs or tuple(cont) != tuple(x[:2]):
            self.error(f'bottoms have shapes {x} and {cont}, expected (T, N, {self.inputs}) and (T, N)')
        if self.static and bottom[2].shape[:1] != (self.streams,):
            self.error(f'static input has shape {bottom[2].shape}, expected {self.streams} rows')
        state = (1, self.streams, self.hidden)
        for blob in bottom[2 + self.static :]:
            if blob.shape != state:
                self.error(f'initial state has shape {blob.shape}, expected {state}')
        top[0].reshape(self.steps, self.streams, self.hidden)
        for blob in top[1:]:
            blob.reshape(*state)

    def _initial(self, bottom: list[Blob]) -> States:
        if self.exposed:
            return [blob.tensor[0] for blob in bottom[2 + self.static :]]
        shape = (self.streams, self.hidden)
        if not self._states or self._states[0].shape != shape or self._states[0].device != self.device:
            self._states = [torch.zeros(shape, device=self.device)] * self.cell.states
        return self._states

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor.reshape(-1, self.inputs)
        drive = torch.addmm(self.blobs[1].tensor, x, self.blobs[0].tensor.t()).reshape(self.steps, self.streams, -1)
        if self.static:
            drive += bottom[2].tensor.reshape(self.streams, -1) @ self.blobs[2].tensor.t()
        weight, cont = self.blobs[2 + self.static].tensor, bottom[1].tensor.unsqueeze(2)
        states, self._tape, self._before, hidden = self._initial(bottom), [], [], []
        for t in range(self.steps):
            before = cont[t] * states[0]
            states, kept = self.cell.step(torch.addmm(drive[t], before, weight.t()), cont[t], states)
            hidden.append(states[0])
            if self.needs_backward:
                self._before.append(before)
                self._tape.append(kept)
        self._states = list(states)
        self._hidden = torch.stack(hidden)
        top[0].tensor = self._output()
        for blob, state in zip(top[1:], states):
            blob.tensor = state.unsqueeze(0)

    def _output(self) -> torch.Tensor:
        if not self.cell.output:
            return self._hidden
        weight, bias = (blob.tensor for blob in self.blobs[-2:])
        self._out = torch.addmm(bias, self._hidden.reshape(-1, self.hidden), weight.t()).tanh_()
        return self._out.reshape(self._hidden.shape)

    def _output_back(self, dy: torch.Tensor) -> torch.Tensor:
        """The gradient of all hidden states from that of the outputs."""
        if not self.cell.output:
            return dy
        dz = torch.ops.aten.tanh_backward(dy.reshape(-1, self.hidden), self._out)
        self._give(-2, lambda: dz.t() @ self._hidden.reshape(-1, self.hidden))
        self._give(-1, lambda: dz.sum(0))
        return (dz @ self.blobs[-2].tensor).reshape(dy.shape)

    def _give(self, index: int, grad: Callable[[], torch.Tensor]) -> None:
        if self.param_propagate_down[index]:
            self.blobs[index].add_grad(grad())

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'markers')
        ddrive = self._through_time(self._output_back(top[0].grad), bottom[1].tensor.unsqueeze(2))
        flat, per_stream = ddrive.flatten(0, 1), ddrive.sum(0)
        self._give(0, lambda: flat.t() @ bottom[0].tensor.reshape(-1, self.inputs))
        self._give(1, lambda: flat.sum(0))
        self._give(2 + self.static, lambda: flat.t() @ torch.cat(self._before))
        if self.static:
            self._give(2, lambda: per_stream.t() @ bottom[2].tensor.reshape(self.streams, -1))
            if propagate_down[2]:
                bottom[2].grad = (per_stream @ self.blobs[2].tensor).reshape(bottom[2].shape)
        if propagate_down[0]:
            bottom[0].grad = (flat @ self.blobs[0].tensor).reshape(bottom[0].shape)
        for wanted, blob in list(zip(propagate_down, bottom))[2 + self.static :]:
            if wanted:
                blob.grad = torch.zeros(blob.shape, device=self.device)

    def _through_time(self, dhidden: torch.Tensor, cont: torch.Tensor) -> torch.Tensor:
        """The gradient of the driving input of every gate at every step, from the last step to the first."""
        weight = self.blobs[2 + self.static].tensor
        dgates: list[torch.Tensor] = [None] * self.steps
        dstates = [torch.zeros_like(dhidden[0])] * self.cell.states
        for t in reversed(range(self.steps)):
            dgates[t], rest = self.cell.step_back(self._tape[t], [dhidden[t] + dstates[0], *dstates[1:]])
            dstates = [cont[t] * (dgates[t] @ weight), *rest]
        return torch.stack(dgates)


@register('LSTMUnit')
class LSTMUnit(Layer):
    """One step of an LSTM: bottoms c (1, N, H), gate inputs (1, N, 4H), markers (1, N); tops the new c and h."""

    over_time = True
    bottoms = 3
    tops = 2
    no_diff_bottoms = (2,)
    no_capture = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        c, gates, cont = (blob.shape for blob in bottom)
        if len(c) != 3 or gates != (1, c[1], 4 * c[2]) or cont != (1, c[1]) or c[0] != 1:
            self.error(f'bottoms have shapes {c}, {gates} and {cont}, expected (1, N, H), (1, N, 4H) and (1, N)')
        for blob in top:
            blob.reshape(*c)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        c, gates, cont = (blob.tensor for blob in bottom)
        (h, c), self._kept = lstm_step(gates, cont.unsqueeze(2), (None, c))
        top[0].tensor, top[1].tensor = c, h

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 2, 'markers')
        dgates, (dc,) = lstm_step_back(self._kept, (top[1].grad, top[0].grad))
        for wanted, blob, grad in zip(propagate_down, bottom, (dc, dgates)):
            if wanted:
                blob.grad = grad
