"""Nets whose blobs are each made by one layer."""

from __future__ import annotations

from sphereslim.engine import caffe_pb2
from sphereslim.net.messages import copy_of


def out_of_place(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of a net of one phase without layers in place.

    Of a blob that several layers make, the last version keeps the name, or the first if it is an input of the net; the
    others are named after the blob and their layer.
    """
    result = copy_of(net)
    names = {top for layer in net.layer for top in layer.top}
    last = {top: layer.name for layer in net.layer for top in layer.top}
    inputs = {top for layer in net.layer if not layer.bottom for top in layer.top}
    now: dict[str, str] = {}
    for layer in result.layer:
        layer.bottom[:] = [now[bottom] for bottom in layer.bottom]
        for place, top in enumerate(layer.top):
            keeps = top not in now if top in inputs else last[top] == layer.name
            name = top if keeps else f'{top}/{layer.name}'
            while name in names and not keeps:
                name += '_'
            names.add(name)
            now[top] = layer.top[place] = name
    return result
