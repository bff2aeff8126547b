"""RNN, LSTM and LSTMUnit, unrolled over the net's number of time steps."""

import numpy as np

from caffe.export.graph import Graph, Shapes, converts, parameter
from caffe.layers.recurrent.recurrent import LSTMUnit, Recurrent


def _rnn(graph: Graph, gates: str, cont: str, states: list[str]) -> list[str]:
    return [graph.op('Tanh', gates)]


def _lstm(graph: Graph, gates: str, cont: str, states: list[str]) -> list[str]:
    """The new h and c from the inputs of all four gates; of the old states only c, the last, matters."""
    i, f, o, g = graph.ops('Split', 4, gates, axis=-1)
    i, f, o, g = (*(graph.op('Sigmoid', part) for part in (i, f, o)), graph.op('Tanh', g))
    kept = graph.op('Mul', graph.op('Mul', f, cont), states[-1])
    c = graph.op('Add', kept, graph.op('Mul', i, g))
    return [graph.op('Mul', o, graph.op('Tanh', c)), c]


@converts('LSTMUnit')
def lstm_unit(graph: Graph, layer: LSTMUnit, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """One step; tops are the new c and h."""
    cont = graph.op('Unsqueeze', x[2], graph.integers([2], 'axes'))
    h, c = _lstm(graph, x[1], cont, [x[0]])
    return [c, h]


@converts('LSTM', 'RNN')
def recurrent(graph: Graph, layer: Recurrent, x: list[str], shapes: Shapes, tops: Shapes) -> list[str]:
    """Every time step's operators one after the other, from states of zero or those of the last bottoms."""
    step = _lstm if layer.type == 'LSTM' else _rnn
    drive = _drive(graph, layer, x)
    conts = graph.op('Unsqueeze', x[1], graph.integers([2], 'axes'))
    states, hidden = _initial(graph, layer, x), []
    weight = graph.constant(parameter(layer.blobs[2 + layer.static]).T, 'recurrent')
    for t in range(layer.steps):
        cont = graph.op('Gather', conts, graph.constant(t, 'time', np.int64), axis=0)
        gates = graph.op('Gather', drive, graph.constant(t, 'time', np.int64), axis=0)
        before = graph.op('MatMul', graph.op('Mul', cont, states[0]), weight)
        states = step(graph, graph.op('Add', gates, before), cont, states)
        hidden.append(graph.op('Unsqueeze', states[0], graph.integers([0], 'axes')))
    ends = [graph.op('Unsqueeze', state, graph.integers([0], 'axes')) for state in states]
    return [_output(graph, layer, graph.op('Concat', *hidden, axis=0)), *ends]


def _drive(graph: Graph, layer: Recurrent, x: list[str]) -> str:
    """What the inputs add to the gates at every step, (T, N, gates)."""
    flat = graph.op('Reshape', x[0], graph.integers([layer.steps, -1, layer.inputs], 'shape'))
    drive = graph.op('MatMul', flat, graph.constant(parameter(layer.blobs[0]).T, 'weight'))
    drive = graph.op('Add', drive, graph.constant(parameter(layer.blobs[1]), 'bias'))
    if layer.static:
        static = graph.constant(parameter(layer.blobs[2]).T, 'static')
        drive = graph.op('Add', drive, graph.op('MatMul', graph.op('Flatten', x[2], axis=1), static))
    return drive


def _initial(graph: Graph, layer: Recurrent, x: list[str]) -> list[str]:
    if layer.exposed:
        return [graph.op('Squeeze', value, graph.integers([0], 'axes')) for value in x[2 + layer.static :]]
    zeros = graph.constant(np.zeros((layer.streams, layer.hidden)), 'zeros')
    return [zeros] * layer.cell.states


def _output(graph: Graph, layer: Recurrent, hidden: str) -> str:
    if not layer.cell.output:
        return hidden
    weight, bias = (parameter(blob) for blob in layer.blobs[-2:])
    return graph.op(
        'Tanh',
        graph.op('Add', graph.op('MatMul', hidden, graph.constant(weight.T, 'weight')), graph.constant(bias, 'bias')),
    )
