"""Automatic Split layers: a blob that several layers read is copied so that each reader has a diff of its own."""

from collections import defaultdict

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

Endpoint = tuple[int, int]  # (index of a layer, index of one of its bottoms or tops)


def split_name(blob: str, layer: str, top_index: int) -> str:
    """The name of the Split layer behind top `top_index` of `layer`; its tops append _0, _1, …"""
    return f'{blob}_{layer}_{top_index}_split'


def insert_splits(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of a NetParameter in which every blob version has at most one reader.

    A top that is itself a loss (it has a loss weight) counts as read once more when another layer reads it.
    Raises CaffeError for a bottom that nothing produces.
    """
    source, readers, loss_weight = _trace(net)
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net)
    del out.layer[:]
    handed: dict[Endpoint, int] = defaultdict(int)
    for i, layer in enumerate(net.layer):
        new = out.layer.add()
        new.CopyFrom(layer)
        for j in range(len(layer.bottom)):
            producer = source[i, j]
            if readers[producer] > 1:
                new.bottom[j] = _part(net, producer, handed[producer])
                handed[producer] += 1
        for j in range(len(layer.top)):
            if readers[i, j] > 1:
                if loss_weight[i, j]:
                    handed[i, j] += 1
                _add_split(out, net, (i, j), readers[i, j], loss_weight[i, j])
                if loss_weight[i, j]:
                    new.ClearField('loss_weight')
    return out


def _trace(net: caffe_pb2.NetParameter) -> tuple[dict[Endpoint, Endpoint], dict[Endpoint, int], dict[Endpoint, float]]:
    """Who produces the blob version that each bottom reads, how often each is read, and its loss weight."""
    latest: dict[str, Endpoint] = {}
    source: dict[Endpoint, Endpoint] = {}
    readers: dict[Endpoint, int] = defaultdict(int)
    loss_weight: dict[Endpoint, float] = defaultdict(float)
    for i, layer in enumerate(net.layer):
        for j, name in enumerate(layer.bottom):
            if name not in latest:
                raise CaffeError(
                    f"layer '{layer.name}' ({layer.type}): unknown bottom blob '{name}' (index {j}), "
                    'expected the top of an earlier layer'
                )
            source[i, j] = latest[name]
            readers[latest[name]] += 1
        for j, name in enumerate(layer.top):
            latest[name] = (i, j)
        for j in range(min(len(layer.loss_weight), len(layer.top))):
            loss_weight[i, j] = layer.loss_weight[j]
            readers[i, j] += bool(layer.loss_weight[j])
    return source, readers, loss_weight


def _part(net: caffe_pb2.NetParameter, producer: Endpoint, index: int) -> str:
    layer, top = net.layer[producer[0]], producer[1]
    return f'{split_name(layer.top[top], layer.name, top)}_{index}'


def _add_split(
    out: caffe_pb2.NetParameter, net: caffe_pb2.NetParameter, producer: Endpoint, count: int, loss_weight: float
) -> None:
    layer, top = net.layer[producer[0]], producer[1]
    split = out.layer.add(name=split_name(layer.top[top], layer.name, top), type='Split')
    split.bottom.append(layer.top[top])
    split.top.extend(_part(net, producer, k) for k in range(count))
    if loss_weight:
        # the loss moves from the producer to the first copy, so that backward starts there
        split.loss_weight.extend([loss_weight] + [0.0] * (count - 1))
