"""Forms in which forks say what BVLC's fields or another layer say as well: brought to those when a net is read."""

from collections.abc import Sequence
from typing import Any

from caffe.proto import caffe_pb2

_SIDES = ('pad_l', 'pad_r', 'pad_t', 'pad_b')


def upgrade_forks(layer: caffe_pb2.LayerParameter) -> None:
    """A ReLU with `relu6` becomes ReLU6; padding of each side and SAME pad_h and pad_w where both sides have the same.

    Means without padding are plain ones where there is no padding, and ResizeBilinear is Interp where its corners are
    aligned. All of it is Synopsys'.
    """
    if layer.type == 'ReLU' and layer.relu_param.relu6:
        layer.type = 'ReLU6'
        layer.relu6_param.negative_slope = layer.relu_param.negative_slope
        layer.ClearField('relu_param')
    conv = layer.convolution_param
    if layer.type in ('Convolution', 'DepthwiseConvolution') and conv.pad_type == 1:
        dilation = _pair(conv.dilation, 0, 0) or (1, 1)
        kernel = _pair(conv.kernel_size, conv.kernel_h, conv.kernel_w)
        stride = _pair(conv.stride, conv.stride_h, conv.stride_w) or (1, 1)
        if kernel and _pad_both(conv, [d * (k - 1) + 1 for d, k in zip(dilation, kernel)], stride):
            del conv.pad[:]
    if layer.type in ('Convolution', 'DepthwiseConvolution') and not conv.pad_type:
        _join_sides(conv, bool(conv.pad or conv.pad_h or conv.pad_w))
    if layer.type == 'Pooling':
        _upgrade_pooling(layer.pooling_param)
    if layer.type == 'ResizeBilinear':
        _upgrade_resizing(layer)


def _upgrade_pooling(pool: caffe_pb2.PoolingParameter) -> None:
    if pool.pad_type == 1 and not pool.global_pooling:
        kernel = (pool.kernel_h or pool.kernel_size, pool.kernel_w or pool.kernel_size)
        if _pad_both(pool, kernel, (pool.stride_h or pool.stride, pool.stride_w or pool.stride)):
            pool.ClearField('pad')
    if not pool.pad_type:
        _join_sides(pool, bool(pool.pad or pool.pad_h or pool.pad_w))
    padded = pool.pad_type or pool.pad or pool.pad_h or pool.pad_w or any(getattr(pool, side) for side in _SIDES)
    if pool.pool in (pool.AVE_EXC_PAD, pool.AVE_TF) and not padded:
        pool.pool = pool.AVE


def _upgrade_resizing(layer: caffe_pb2.LayerParameter) -> None:
    """Make Interp of a ResizeBilinear that has aligned corners, a size and nothing else."""
    param: Any = getattr(layer, 'resize_bilinear_param')  # noqa: B009 - a parameter that only Synopsys' schema has
    stated = {field.name for field, _ in param.ListFields()}
    if (
        stated == {'align_corners', 'data_format', 'output_height', 'output_width'}
        and param.align_corners
        and param.data_format == 'NCHW'
    ):
        layer.type = 'Interp'
        layer.interp_param.height, layer.interp_param.width = param.output_height, param.output_width
        layer.ClearField('resize_bilinear_param')


def _join_sides(param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter, stated: bool) -> None:
    """Write padding that is the same on opposite sides as pad_h and pad_w, unless it is `stated` in those as well."""
    left, right, above, below = (getattr(param, side) for side in _SIDES)
    if left != right or above != below or (stated and (left or above)):
        return
    if left or above:
        param.pad_h, param.pad_w = above, left
    for side in _SIDES:
        param.ClearField(side)


def _pad_both(
    param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter, span: Sequence[int], stride: Sequence[int]
) -> bool:
    """Write SAME as pad_h and pad_w where it is the same for every size of the bottom; whether it is."""
    if set(stride) != {1} or any(extent % 2 == 0 for extent in span):
        return False
    param.pad_h, param.pad_w = (extent // 2 for extent in span)
    param.ClearField('pad_type')
    return True


def _pair(values: Sequence[int], height: int, width: int) -> tuple[int, int] | None:
    """(height, width) from a repeated field or the pair beside it."""
    if height or width:
        return height, width
    return (values[0], values[-1]) if values else None
