"""Padding that differs from side to side, as nets converted from TensorFlow have it (Synopsys' fork)."""

from collections.abc import Sequence

from caffe.proto import caffe_pb2

_SIDES = ('pad_l', 'pad_r', 'pad_t', 'pad_b')


def pads_sides(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a layer states the padding of each side, or has as much as TensorFlow's SAME (`pad_type: 1`)."""
    param = layer.pooling_param if layer.type == 'Pooling' else layer.convolution_param
    return param.pad_type != 0 or any(getattr(param, side) for side in _SIDES)


def margins(
    param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter,
    span: Sequence[int],
    stride: Sequence[int],
    size: Sequence[int],
) -> list[int]:
    """[left, right, top, bottom] around pictures of `size` for windows of `span`, all of them (height, width).

    With `pad_type: 1` there are size / stride windows, rounded up; where the rest is odd, the far side has more.
    """
    if not param.pad_type:
        return [getattr(param, side) for side in _SIDES]
    around: list[int] = []
    for extent, step, count in zip(span, stride, size):
        whole = max(0, extent - (count % step or step))
        around = [whole // 2, whole - whole // 2, *around]
    return around
