"""Blocks: layers in a row between two points of a linear trunk, refitted together, through the nonlinearities inside.

A refit of single layers keeps what the channels that stay gave before; only the last layer of a block makes up for
those that left. Together, all layers of a block move so that the trunk behind it is what it was: nonlinear least
squares without labels, by some iterations of L-BFGS from where the single refits ended. Its variables are those in
which the inputs of each layer are white and its outputs count by how strongly they reach the end of the block.

Sources: Li et al., BRECQ, ICLR 2021, blocks as units of reconstruction; Martens, Grosse, Optimizing Neural Networks
with Kronecker-factored Approximate Curvature, ICML 2015, the variables.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from sphereslim.channels.groups import Groups
from sphereslim.engine import caffe
from sphereslim.rewrite.rotate import linear_trunks
from sphereslim.sampling.linear_layer import LinearLayer, is_linear, sharers

_POSITIONS = 100_000  # of a block's outputs that are looked at: more say little more
_LEAST_GAIN = 1e-3  # of the largest: below it an output counts as if it reached the end that strongly
_RIDGE = 1e-3  # relative to the mean square of the inputs, where they are made white
_PLACES = 60  # outputs of a picture on which the inputs of a layer are measured


def blocks_of(groups: Groups, net: caffe.Net) -> list[list[str]]:
    """The layers of every block with weights, in net order, of two layers at least."""
    trace = groups.trace
    ends = {maker for group in linear_trunks(groups) for maker in group.makers}
    found, run = [], list[str]()
    for name in trace.layers:
        if not is_linear(trace, name):
            continue
        run.append(name)
        if name in ends:
            if len(run) > 1 and _stands_alone(net, run) and all(len(sharers(trace, n, net)) == 1 for n in run):
                found.append(run)
            run = []
    return found


def _stands_alone(net: caffe.Net, run: Sequence[str]) -> bool:
    """Whether layers read one blob only, and nothing behind them reads anything but what the last one gives."""
    order = list(net._layer_names)
    start, end = order.index(run[0]), order.index(run[-1])
    known = set(net.bottom_names[run[0]])
    inside = set[str]()
    for name in order[start : end + 1]:
        if not known.issuperset(net.bottom_names[name]):
            return False
        known.update(net.top_names[name])
        inside.update(net.top_names[name])
    inside -= set(net.top_names[run[-1]])
    read = {blob for name in order[end + 1 :] for blob in net.bottom_names[name]}
    return all(len(net.bottom_names[name]) == 1 for name in run) and not inside & read


class Block:
    """The layers `names` of a caffe.Net that runs backward, refitted to what was `wanted` of them on their `inputs`.

    `see` is called with both, for the first and the last layer, batch by batch.
    """

    def __init__(self, groups: Groups, net: caffe.Net, names: Sequence[str], rng: np.random.Generator) -> None:
        self.names, self._net, self._rng = list(names), net, rng
        self._layers = [LinearLayer(groups.trace, name, net) for name in names]
        order = list(net._layer_names)
        self._places = [order.index(name) for name in names]
        self._read, self._made = ([table[name][0] for name in names] for table in (net.bottom_names, net.top_names))
        self._inputs: list[np.ndarray] = []
        self._wanted: list[np.ndarray] = []

    def see(self, name: str, inputs: np.ndarray, wanted: np.ndarray) -> None:
        """Take in a batch of what a layer reads and should give."""
        positions = int(np.prod(self._net.blobs[self._made[-1]].data.shape[2:]))
        if name == self.names[0] and sum(map(len, self._inputs)) * positions < _POSITIONS:
            self._inputs.append(inputs)
        if name == self.names[-1] and len(self._wanted) < len(self._inputs):
            self._wanted.append(wanted)

    def refit(self, iterations: int) -> None:
        """Move the weights, in place, for so many iterations."""
        start = [layer.matrices() for layer in self._layers]
        turns = self._turns(start)
        scale = self._error(gradients=False) or 1.0

        def objective(variables: np.ndarray) -> tuple[float, np.ndarray]:
            self._store(start, turns, variables)
            error = self._error(1 / scale)
            slopes = [layer.gradients() for layer in self._layers]
            turned = [
                (left.T @ slope / gain).ravel()
                for own, turn in zip(slopes, turns)
                for slope, (left, gain) in zip(own, turn)
            ]
            return error / scale, np.concatenate(turned)

        first = np.zeros(sum(matrix.size for matrices in start for matrix in matrices))
        found = minimize(objective, first, jac=True, method='L-BFGS-B', options={'maxiter': iterations, 'maxcor': 20})
        self._store(start, turns, found.x)

    def _store(self, start: list[list[np.ndarray]], turns: list[list[_Turn]], variables: np.ndarray) -> None:
        place = 0
        for layer, matrices, turn in zip(self._layers, start, turns):
            moved = []
            for matrix, (left, gain) in zip(matrices, turn):
                part = variables[place : place + matrix.size].reshape(matrix.shape)
                moved.append(matrix + left @ part / gain)
                place += matrix.size
            layer.store(moved)

    def _error(self, weight: float = 1.0, gradients: bool = True) -> float:
        """Σ (output − wanted)² over all batches; diffs of the parameters become its gradients times `weight`."""
        net, (first, last) = self._net, (self._places[0], self._places[-1])
        net.clear_param_diffs()
        total = 0.0
        for inputs, wanted in zip(self._inputs, self._wanted):
            self._run(inputs)
            top = net.blobs[self._made[-1]]
            error = np.asarray(top.data) - wanted
            total += float(np.square(error, dtype=np.float64).sum())
            if gradients:
                top.diff[...] = 2 * weight * error
                net._backward(last, first)
        return total

    def _run(self, inputs: np.ndarray) -> None:
        blob = self._net.blobs[self._read[0]]
        blob.reshape(*inputs.shape)
        blob.data[...] = inputs
        self._net._forward(self._places[0], self._places[-1])

    def _turns(self, start: list[list[np.ndarray]]) -> list[list[_Turn]]:
        """[(inputs whitened, gain of each output)] per group of each layer, from the first batch."""
        self._run(self._inputs[0])
        net, made = self._net, self._made
        read = [np.array(net.blobs[blob].data) for blob in self._read]
        rows = [layer.read(blob, _PLACES, self._rng)[0] for layer, blob in zip(self._layers, read)]
        net.blobs[made[-1]].diff[...] = self._rng.choice([-1.0, 1.0], net.blobs[made[-1]].data.shape)
        net._backward(self._places[-1], self._places[0])
        gains = [_root_mean_square(np.asarray(net.blobs[blob].diff)) for blob in made[:-1]]
        net.clear_param_diffs()
        gains.append(np.ones(net.blobs[made[-1]].data.shape[1]))
        return [
            [(_whitening(x), part) for x, part in zip(inputs, np.split(gain, len(inputs)))]
            for inputs, gain in zip(rows, gains)
        ]


_Turn = tuple[np.ndarray, np.ndarray]


def _root_mean_square(values: np.ndarray) -> np.ndarray:
    """That of every channel of a blob, but for those that hardly count."""
    found = np.sqrt(np.square(values, dtype=np.float64).mean(axis=(0, *range(2, values.ndim))))
    return np.maximum(found, _LEAST_GAIN * found.max() or 1.0)


def _whitening(rows: np.ndarray) -> np.ndarray:
    """A matrix L for which rows · L has a covariance of about one."""
    rows = rows.astype(np.float64)
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    return (vectors / np.sqrt(np.maximum(values, 0) + (_RIDGE * values.mean() or 1.0))) @ vectors.T
