"""Distillation: a frozen teacher and its losses in the student's own train prototxt, of standard layers only.

The softened cross entropy (Hinton et al. 2015) is -w T^2 mean_n sum_c p_c log q_c, with p and q the softmax of the
teacher's and the student's logits over T; its gradient in the student's logits is w T (q - p) / N. Caffe has no loss
for soft labels, so it is made of Power, Softmax, Log, Eltwise PROD and Reduction MEAN, whose loss_weight is -w T^2
times the classes. The embedding loss is w / (2 N) sum_n |u_n - v_n|^2 of the L2-normalised features u and v.

The map loss is w sum_n |s_n - P t_n|^2 / sum_n |P t_n|^2 of two maps inside the nets, where a frozen 1x1 convolution P
takes the channels that the student kept of the teacher's (hints as in FitNets, Romero et al. 2015); the lower sum is a
constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sphereslim.engine import caffe, caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.costs import open_with_inputs
from sphereslim.net.inputs import input_shape, is_data, with_inputs
from sphereslim.net.messages import copy_of
from sphereslim.net.roles import DATA, LOSS, opened_layers, parts
from sphereslim.net.weights import fill_blob, weight_layers

PREFIX = 'teacher_'
_FROZEN = {'lr_mult': 0.0, 'decay_mult': 0.0}
_TINY = 1e-10  # keeps log and division off zero


def with_teacher(
    student: caffe_pb2.NetParameter, teacher: caffe_pb2.NetParameter, shape: tuple[int, ...] | None = None
) -> caffe_pb2.NetParameter:
    """The student's train net with the teacher's layers under PREFIX, reading the same pictures and never learning.

    `teacher` is a train or deploy net; of it the layers between data and losses are taken, without dropout, with
    lr_mult 0, and batch norms use their running statistics. SlimError when the pictures differ in size.
    """
    shape = shape or input_shape(student) or input_shape(teacher)
    opened = _open_both(student, teacher, shape)
    source = _picture(student)
    result = _with_untouched(student, source)
    renamed = {_picture(teacher): source}
    for layer in _body(teacher, opened, shape):
        added = copy_of(layer)
        added.name = PREFIX + layer.name
        added.bottom[:] = [renamed[blob] for blob in layer.bottom]
        if layer.type in ('Dropout', 'SeLuDropout'):
            renamed.update(dict.fromkeys(layer.top, renamed[layer.bottom[0]]))
            continue
        renamed.update({blob: PREFIX + blob for blob in layer.top})
        added.top[:] = [renamed[blob] for blob in layer.top]
        result.layer.append(_frozen(added, len(opened.params.get(layer.name, ()))))
    return result


def _with_untouched(net: caffe_pb2.NetParameter, blob: str) -> caffe_pb2.NetParameter:
    """The net in which layers that write over a blob of the data write to another one, which those behind them read."""
    result, written = copy_of(net), False
    for layer in result.layer:
        if written:
            layer.bottom[:] = [f'{blob}_changed' if name == blob else name for name in layer.bottom]
        if blob in layer.top and not is_data(layer):
            written = True
            layer.top[:] = [f'{blob}_changed' if name == blob else name for name in layer.top]
    return result


def add_logits_loss(
    net: caffe_pb2.NetParameter,
    student: str,
    teacher: str,
    temperature: float,
    weight: float,
    shape: tuple[int, ...] | None = None,
) -> caffe_pb2.NetParameter:
    """The net with the softened cross entropy between the blobs `student` and `teacher`, (N, classes)."""
    classes = _width(net, student, teacher, shape)
    result = copy_of(net)
    probabilities = [
        _softened(result, f'distill_{name}', blob, temperature)
        for name, blob in (('student', student), ('teacher', teacher))
    ]
    _add(result, 'distill_log', 'Log', probabilities[:1], log_param={'shift': _TINY})
    _add(
        result,
        'distill_product',
        'Eltwise',
        [probabilities[1], 'distill_log'],
        eltwise_param={'operation': caffe_pb2.EltwiseParameter.PROD},
    )
    _add(
        result,
        'distill_loss',
        'Reduction',
        ['distill_product'],
        loss_weight=[-weight * temperature**2 * classes],
        reduction_param={'operation': caffe_pb2.ReductionParameter.MEAN},
    )
    return result


def add_embedding_loss(
    net: caffe_pb2.NetParameter, student: str, teacher: str, weight: float, shape: tuple[int, ...] | None = None
) -> caffe_pb2.NetParameter:
    """The net with the squared distance between the normalised blobs `student` and `teacher` of one length."""
    _width(net, student, teacher, shape)
    result = copy_of(net)
    units = [
        _normalised(result, f'distill_{name}_feature', blob)
        for name, blob in (('student', student), ('teacher', teacher))
    ]
    _add(result, 'distill_feature_loss', 'EuclideanLoss', units, loss_weight=[weight])
    return result


def add_map_loss(
    net: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter,
    blob: str,
    kept: np.ndarray,
    size: int,
    scale: float,
    weight: float,
) -> tuple[caffe_pb2.NetParameter, caffe_pb2.NetParameter]:
    """(net, weights) with the squared distance of a student's map `blob` (N, C, …) from the teacher's of that name.

    The student's channels are those numbered `kept` among the teacher's `size`; `scale` is the mean squared length of
    that part of the teacher's map for one picture, so that the loss is `weight` where the student gives nothing.
    """
    result, held = copy_of(net), copy_of(weights)
    chosen = f'{PREFIX}{blob}'
    if len(kept) < size:
        name = f'{PREFIX}chosen_{blob}'
        param = {'num_output': len(kept), 'kernel_size': [1], 'bias_term': False}
        chosen = _add(result, name, 'Convolution', [chosen], convolution_param=param, param=[_FROZEN])
        selector = held.layer.add(name=name, type='Convolution').blobs.add()
        fill_blob(selector, np.eye(size)[kept][:, :, None, None], legacy=False)
    _add(result, f'distill_{blob}_loss', 'EuclideanLoss', [blob, chosen], loss_weight=[2 * weight / scale])
    return result, held


def join_weights(student: caffe_pb2.NetParameter | None, teacher: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A NetParameter with the teacher's weights under PREFIX, and the student's, which may be None."""
    result = copy_of(student) if student is not None else caffe_pb2.NetParameter()
    for layer in weight_layers(teacher).values():
        added = result.layer.add()
        added.CopyFrom(layer)
        added.name = PREFIX + layer.name
    return result


def without_teacher(weights: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The student's part of the weights that training with a teacher ends with."""
    result = copy_of(weights)
    del result.layer[:]
    result.layer.extend(layer for layer in weights.layer if not layer.name.startswith(PREFIX))
    return result


def _open_both(
    student: caffe_pb2.NetParameter, teacher: caffe_pb2.NetParameter, shape: tuple[int, ...] | None
) -> caffe.Net:
    opened = open_with_inputs(teacher, shape)
    expected, given = (
        tuple(blobs.data.shape[1:])
        for blobs in (opened.blobs[_picture(teacher)], open_with_inputs(student, shape).blobs[_picture(student)])
    )
    own = input_shape(teacher)
    if expected != given or (own and tuple(own[1:]) != given):
        raise SlimError(
            f"teacher '{teacher.name}': takes pictures of {tuple((own or shape or ())[1:])}, the student of {given}"
        )
    return opened


def _picture(net: caffe_pb2.NetParameter) -> str:
    """The first blob of the first data layer."""
    for layer in net.layer:
        if is_data(layer):
            return layer.top[0]
    raise SlimError(f"net '{net.name}': has no data layer or Input")


def _body(
    net: caffe_pb2.NetParameter, opened: caffe.Net, shape: tuple[int, ...] | None
) -> Iterator[caffe_pb2.LayerParameter]:
    """The layers of phase TEST from the picture up to the logits: no data, no losses, nothing that reads labels."""
    layers = opened_layers(with_inputs(net, shape), opened)
    kinds = parts(layers, opened)
    made = {_picture(net)}
    for layer in layers:
        if kinds[layer.name] not in (DATA, LOSS) and made.issuperset(layer.bottom):
            made.update(layer.top)
            yield layer


def _frozen(layer: caffe_pb2.LayerParameter, blobs: int) -> caffe_pb2.LayerParameter:
    layer.ClearField('param')
    layer.ClearField('include')
    layer.ClearField('exclude')
    for _ in range(blobs):
        layer.param.add(**_FROZEN)
    if layer.type == 'BatchNorm':
        layer.batch_norm_param.use_global_stats = True
    return layer


def _width(net: caffe_pb2.NetParameter, student: str, teacher: str, shape: tuple[int, ...] | None) -> int:
    """The length that both blobs have; SlimError when they differ or are unknown."""
    opened = open_with_inputs(net, shape)
    for blob in (student, teacher):
        if blob not in opened.blobs:
            raise SlimError(f"net '{net.name}': no blob '{blob}', expected one of: {', '.join(opened.blobs)}")
    sizes = [opened.blobs[blob].count // opened.blobs[blob].data.shape[0] for blob in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise SlimError(
            f"blobs '{student}' and '{teacher}': {sizes[0]} and {sizes[1]} numbers per picture, expected as many"
        )
    return sizes[0]


def _softened(net: caffe_pb2.NetParameter, name: str, blob: str, temperature: float) -> str:
    if not temperature > 0:
        raise SlimError(f'temperature {temperature}: expected above 0')
    _add(net, f'{name}_logits', 'Power', [blob], power_param={'scale': 1 / temperature})
    return _add(net, f'{name}_soft', 'Softmax', [f'{name}_logits'])


def _normalised(net: caffe_pb2.NetParameter, name: str, blob: str) -> str:
    """x / |x| per picture by layers that every Caffe 1.0 has."""
    _add(net, f'{name}_flat', 'Flatten', [blob])
    _add(
        net,
        f'{name}_square',
        'Reduction',
        [f'{name}_flat'],
        reduction_param={'operation': caffe_pb2.ReductionParameter.SUMSQ, 'axis': 1},
    )
    _add(net, f'{name}_inverse', 'Power', [f'{name}_square'], power_param={'power': -0.5, 'shift': _TINY})
    return _add(net, f'{name}_unit', 'Scale', [f'{name}_flat', f'{name}_inverse'], scale_param={'axis': 0})


def _add(net: caffe_pb2.NetParameter, name: str, kind: str, bottoms: Sequence[str], **fields: Any) -> str:
    net.layer.add(name=name, type=kind, bottom=bottoms, top=[name], **fields)
    return name
