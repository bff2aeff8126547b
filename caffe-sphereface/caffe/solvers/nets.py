"""Which nets a SolverParameter asks for: one to train, any number to test."""

from pathlib import Path

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net


def train_net_param(solver: caffe_pb2.SolverParameter, origin: str | Path | None) -> tuple[str, caffe_pb2.NetParameter]:
    """(origin, NetParameter) of the training net; exactly one of four fields must name it."""
    given = [f for f in ('net', 'net_param', 'train_net', 'train_net_param') if solver.HasField(f)]
    if len(given) != 1:
        named = ', '.join(given) if given else 'none'
        raise CaffeError(
            f'{origin}: the training net is given by {named}, expected exactly one of net, net_param, '
            'train_net, train_net_param'
        )
    return _with_state(getattr(solver, given[0]), given[0], solver.train_state, caffe_pb2.TRAIN)


def test_net_params(
    solver: caffe_pb2.SolverParameter, origin: str | Path | None
) -> list[tuple[str, caffe_pb2.NetParameter]]:
    """[(origin, NetParameter)] of the test nets: test_net_param, test_net, then `net` for the rest of test_iter."""
    sources = [(p, 'test_net_param') for p in solver.test_net_param] + [(n, 'test_net') for n in solver.test_net]
    generic = [(getattr(solver, f), f) for f in ('net_param', 'net') if solver.HasField(f)]
    missing = len(solver.test_iter) - len(sources)
    if missing < 0 or (missing and not generic):
        raise CaffeError(
            f'{origin}: {len(solver.test_iter)} test_iter for {len(sources)} test nets, expected one test_iter each'
        )
    sources += generic[:1] * missing
    if solver.test_state and len(solver.test_state) != len(sources):
        raise CaffeError(
            f'{origin}: {len(solver.test_state)} test_state for {len(sources)} test nets, expected one each or none'
        )
    if sources and solver.test_interval <= 0:
        raise CaffeError(f'{origin}: test_iter for {len(sources)} test nets but no test_interval, expected at least 1')
    states = list(solver.test_state) or [caffe_pb2.NetState()] * len(sources)
    return [_with_state(source, field, state, caffe_pb2.TEST) for (source, field), state in zip(sources, states)]


def _with_state(
    source: str | caffe_pb2.NetParameter, field: str, state: caffe_pb2.NetState, phase: int
) -> tuple[str, caffe_pb2.NetParameter]:
    """The net with phase, then its own state, then the solver's state, each over the one before."""
    net = read_net(source)
    merged = caffe_pb2.NetState()
    merged.MergeFrom(net.state)
    merged.MergeFrom(state)
    merged.phase = phase
    net.state.CopyFrom(merged)
    return (f'net file: {source}' if isinstance(source, str) else field), net
