"""Where a net's pictures come in, and how large they are."""

from __future__ import annotations

from collections.abc import Iterable

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import layer_type
from sphereslim.net.messages import copy_of


def is_data(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a LayerParameter feeds the net: a data layer or an Input."""
    return not layer.bottom and layer_type(layer).data


def input_shape(net: caffe_pb2.NetParameter) -> tuple[int, ...] | None:
    """The shape (N, C, H, W) of the first input, with N = 1 for data layers; None where the prototxt does not say."""
    for layer in net.layer:
        if layer.type == 'Input' and layer.input_param.shape:
            return tuple(layer.input_param.shape[0].dim)
        if is_data(layer):
            return _data_shape(layer)
    return None


def with_inputs(net: caffe_pb2.NetParameter, shape: tuple[int, ...] | None = None) -> caffe_pb2.NetParameter:
    """The net with every data layer replaced by an Input of the same tops, so that it needs no files.

    The first top takes `shape` (N, C, H, W), by default `input_shape(net)`; further tops are labels of shape (N,). The
    further shapes of Input layers stay, but for the N of those that have the first one's. Of layers with the same tops
    (a train and a test source) the first stays.
    """
    given = input_shape(net)
    shape = tuple(shape or given or ())
    if not shape:
        raise SlimError(f"net '{net.name}': its prototxt does not say how large a picture is, expected a shape")
    result = copy_of(net)
    del result.layer[:]
    seen: set[str] = set()
    for layer in net.layer:
        if not is_data(layer):
            result.layer.add().CopyFrom(layer)
        elif not seen.issuperset(layer.top):
            result.layer.append(_input_layer(layer, shape if not seen else None, (given or shape)[0], shape[0], seen))
            seen.update(layer.top)
    return result


def _data_shape(layer: caffe_pb2.LayerParameter) -> tuple[int, ...] | None:
    """(1, C, H, W) that a data layer yields according to its crop or its resizing, else None."""
    image = layer.image_data_param
    channels = 1 if layer.type == 'ImageData' and not image.is_color else 3
    crop = layer.transform_param.crop_size
    if layer.type == 'MemoryData':
        memory = layer.memory_data_param
        return (1, memory.channels, memory.height, memory.width)
    if layer.type == 'DummyData' and layer.dummy_data_param.shape:
        return tuple(layer.dummy_data_param.shape[0].dim)
    if crop:
        return (1, channels, crop, crop)
    resize = getattr(layer.transform_param, 'resize_param', None)  # a field of the SSD forks only
    if resize is not None:
        first = next(iter(resize), None) if isinstance(resize, Iterable) else resize  # MobileNet-YOLO takes several
        if first and first.height and first.width:
            return (1, channels, first.height, first.width)
    return (1, channels, image.new_height, image.new_width) if image.new_height and image.new_width else None


def _input_layer(
    layer: caffe_pb2.LayerParameter, shape: tuple[int, ...] | None, before: int, batch: int, seen: set[str]
) -> caffe_pb2.LayerParameter:
    """An Input with the tops not in `seen`: the first of `shape`, the others as they are or one label per image.

    Where labels are boxes there is one. What came in batches of `before` comes in those of `batch`.
    """
    own = [[batch, *s.dim[1:]] if s.dim[:1] == [before] else list(s.dim) for s in layer.input_param.shape]
    if len(own) == 1:
        own *= len(layer.top)
    label = [batch]
    if layer.type == 'AnnotatedData':
        is_yolo = getattr(layer.annotated_data_param, 'yolo_data_type', 0) == 1
        label = [batch, 1, 300, 5] if is_yolo else [1, 1, 1, 8]
    shapes = own or [label] * len(layer.top)
    if shape is not None:
        shapes = [list(shape), *shapes[1:]]
    new = [(top, dims) for top, dims in zip(layer.top, shapes) if top not in seen]
    result = type(layer)(name=layer.name, type='Input', top=[top for top, _ in new])
    for _, dims in new:
        result.input_param.shape.add(dim=dims)
    return result
