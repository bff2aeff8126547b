"""Linear trunks turned onto their principal components, so that few channels carry most of what they hold.

Channels that are only summed up and read by weight matrices, as along the trunk of MobileNetV2 or MobileFaceNet, have
no basis of their own: with an orthogonal V, the layers that make them give Vᵀy, those that read them take W·V, and the
net computes the same. With V from the trunk's covariance the channels stand in the order of how much they vary, and the
last ones can leave at little loss. Source: Ashkboos et al., SliceGPT, ICLR 2024, there for transformers.
"""

from __future__ import annotations

import numpy as np

from sphereslim.channels.groups import Group, Groups
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.linear_weights import LinearWeights, takes_affine
from sphereslim.net.messages import copy_of
from sphereslim.net.weights import weight_layers
from sphereslim.sampling.sampler import Sampler


def linear_trunks(groups: Groups) -> list[Group]:
    """The prunable groups whose channels are made by weight matrices, summed, and read by weight matrices.

    A norm in between hides a trunk: fold the net first.
    """
    return [group for group in groups.prunable() if _is_linear(groups, group)]


def _is_linear(groups: Groups, group: Group) -> bool:
    trace, layers = groups.trace, groups.trace.layers
    shared = {layer for users in trace.shared.values() if len(users) > 1 for layer, _ in users}
    for (name, top), flow in trace.tops.items():
        units = groups.units_among(group, flow.ids)
        if (units < 0).all():
            continue
        readers = [layers[reader] for reader in trace.readers.get((name, top), ())]
        whole = np.array_equal(np.sort(units), np.arange(group.size)) and not flow.flat
        if not whole or not (_sums(layers[name]) or name in group.makers and _is_matrix(layers[name])):
            return False
        if not all(_sums(reader) or _is_matrix(reader) for reader in readers):
            return False
    return not shared & {*group.makers, *group.readers}


def _sums(layer: caffe_pb2.LayerParameter) -> bool:
    return layer.type == 'Eltwise' and layer.eltwise_param.operation == caffe_pb2.EltwiseParameter.SUM


def _is_matrix(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether each output is a weighted sum over all input channels."""
    convolves = layer.type in ('Convolution', 'DepthwiseConvolution') and layer.convolution_param.group == 1
    return takes_affine(layer) and (convolves or layer.type == 'InnerProduct')


def covariance(groups: Groups, group: Group, sampler: Sampler) -> np.ndarray:
    """(units, units): the covariance of a linear trunk's channels over positions and pictures, summed over its points.

    The points are the sums along the trunk, so that what lasts for many blocks counts more.
    """
    stops = [sampler.after(layer, top) for layer, top in group.points]
    units = [groups.units_of(group, layer, top) for layer, top in group.points]
    sums = np.zeros((len(stops), group.size + 1, group.size + 1))
    for blobs in sampler.blobs(stops):
        for total, blob, own in zip(sums, blobs, units):
            rows = np.ones((blob[:, 0].size, group.size + 1), np.float32)
            rows[:, own] = np.moveaxis(blob, 1, -1).reshape(-1, group.size)
            total += rows.T @ rows
    if not sums[:, -1, -1].all():
        raise SlimError(f"trunk '{group.name}': no picture to measure its covariance on, expected at least one")
    means = sums / sums[:, -1:, -1:]
    return np.asarray((means[:, :-1, :-1] - means[:, :-1, -1:] * means[:, -1:, :-1]).sum(axis=0))


def principal_components(matrix: np.ndarray) -> np.ndarray:
    """The eigenvectors of a covariance as columns, the one of the largest variance first."""
    return np.asarray(np.linalg.eigh(matrix)[1][:, ::-1])


def rotate(
    net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter, groups: Groups, group: Group, basis: np.ndarray
) -> caffe_pb2.NetParameter:
    """A copy of the weights with which unit k of a linear trunk is what lay along column k of the orthogonal `basis`.

    SlimError for a group that is no linear trunk.
    """
    if not _is_linear(groups, group):
        raise SlimError(f"group '{group.name}' is not only summed between weight matrices, expected a linear trunk")
    result = copy_of(weights)
    stored, layers = weight_layers(result), {layer.name: layer for layer in net.layer}
    for name in group.makers:
        places = groups.units_among(group, groups.trace.made[name].ids)
        matrix = LinearWeights(copy_of(layers[name]), stored[name])
        matrix.mix_outputs(_between(basis, places))
        matrix.store()
    for member in group.members:
        if (member.role, member.blob) == ('input', 0):
            matrix = LinearWeights(copy_of(layers[member.layer]), stored[member.layer])
            matrix.mix_inputs(_between(basis, member.units))
            matrix.store()
    return result


def _between(basis: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The basis for channels whose units stand in the order of `places`."""
    return basis[np.ix_(places, places)]
