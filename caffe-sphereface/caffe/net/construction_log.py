"""The log of a net's construction, in the lines of Caffe that scripts look for."""

from collections.abc import Iterable

from caffe import log
from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer
from caffe.proto import caffe_pb2

_BYTES_PER_VALUE = 4


def begin(net: caffe_pb2.NetParameter) -> None:
    """Log the NetParameter that a net is made from."""
    if log.shows_info():
        log.info('net.cpp:51', f'Initializing net from parameters: \n{net}')


def creating(param: caffe_pb2.LayerParameter) -> None:
    """Log the layer that is about to be made, and its connections."""
    if not log.shows_info():
        return
    log.info('layer_factory.hpp:77', f'Creating layer {param.name}')
    log.info('net.cpp:84', f'Creating Layer {param.name}')
    for name in param.bottom:
        log.info('net.cpp:406', f'{param.name} <- {name}')
    for i, name in enumerate(param.top):
        if i < len(param.bottom) and param.bottom[i] == name:
            log.info('net.cpp:367', f'{param.name} -> {name} (in-place)')
        else:
            log.info('net.cpp:380', f'{param.name} -> {name}')


def set_up(name: str, tops: list[Blob], loss_terms: Iterable[tuple[int, float]], values: int) -> None:
    """Log the shapes of a layer's tops, their loss weights, and the bytes of the `values` of all tops made so far."""
    if not log.shows_info():
        return
    log.info('net.cpp:122', f'Setting up {name}')
    weights = dict(loss_terms)
    for i, top in enumerate(tops):
        log.info('net.cpp:129', f'Top shape: {"".join(f"{size} " for size in top.shape)}({top.count})')
        if i in weights:
            log.info('net.cpp:132', f'    with loss weight {log.number(weights[i])}')
    log.info('net.cpp:137', f'Memory required for data: {_BYTES_PER_VALUE * values}')


def done(layers: list[Layer], needs: list[bool], outputs: list[str]) -> None:
    """Log which layers have a backward, and the names of the net's outputs."""
    if not log.shows_info():
        return
    for layer, need in reversed(list(zip(layers, needs))):
        source, what = ('net.cpp:198', 'needs') if need else ('net.cpp:200', 'does not need')
        log.info(source, f'{layer.name} {what} backward computation.')
    for name in outputs:
        log.info('net.cpp:242', f'This network produces output {name}')
    log.info('net.cpp:255', 'Network initialization done.')
