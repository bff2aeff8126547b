"""A net that learns what a face model said of each picture, which it looks up: the model itself never runs.

The data layer's label is the row of a frozen Embed layer, whose weights are the model's directions. The loss is one
minus the cosine between the net's embedding and that row, the mean of the batch. No label is needed, and every Caffe
1.0 has the layers.
"""

from __future__ import annotations

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.costs import open_with_inputs
from sphereslim.net.inputs import input_shape, is_data
from sphereslim.net.messages import copy_of
from sphereslim.net.weights import fill_blob
from sphereslim.rewrite.distill import PREFIX, add_embedding_loss

ROWS, HEAD = f'{PREFIX}rows', f'{PREFIX}head'
_FROZEN = {'lr_mult': 0, 'decay_mult': 0}


def taught_net(
    train: caffe_pb2.NetParameter, deploy: caffe_pb2.NetParameter, directions: np.ndarray, head: bool = False
) -> tuple[caffe_pb2.NetParameter, caffe_pb2.NetParameter]:
    """(train net up to the output of `deploy`, taught; weights that hold the `directions` (pictures, dimensions)).

    The embedding itself learns the directions, turned into its number of dimensions. With `head` a linear layer behind
    it does, which is no part of the net: for an embedding that a ReLU leaves without negative numbers. Both added
    layers have names that `distill.without_teacher` takes out again.
    """
    opened = open_with_inputs(deploy)
    blob = opened.outputs[0]
    length = opened.blobs[blob].count // opened.blobs[blob].data.shape[0]
    result = _up_to(train, blob)
    rows = directions if head else spread(directions, length)
    index = _labels(result)
    result.layer.add(
        name=ROWS,
        type='Embed',
        bottom=[index],
        top=[ROWS],
        param=[_FROZEN],
        embed_param={'num_output': rows.shape[1], 'input_dim': len(rows), 'bias_term': False},
    )
    if head:
        filler = {'num_output': rows.shape[1], 'bias_term': False, 'weight_filler': {'type': 'xavier'}}
        result.layer.add(name=HEAD, type='InnerProduct', bottom=[blob], top=[HEAD], inner_product_param=filler)
    weights = caffe_pb2.NetParameter()
    fill_blob(weights.layer.add(name=ROWS, type='Embed').blobs.add(), rows, legacy=False)
    return add_embedding_loss(result, HEAD if head else blob, ROWS, 1.0, input_shape(deploy)), weights


def spread(directions: np.ndarray, length: int, seed: int = 0) -> np.ndarray:
    """Directions (pictures, dimensions) as float32 (pictures, `length`) with the same cosines.

    By a random rotation into the larger space; into a smaller one along the principal axes, so that the cosines are
    the nearest that it has room for.
    """
    dimensions = directions.shape[1]
    if length >= dimensions:
        normal = np.random.default_rng(seed).standard_normal((length, dimensions))
        return np.asarray(directions @ np.linalg.qr(normal)[0].T, np.float32)
    _, axes = np.linalg.eigh(directions.T.astype(np.float64) @ directions)
    found = directions @ axes[:, dimensions - length :]
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12), np.float32)


def _up_to(net: caffe_pb2.NetParameter, blob: str) -> caffe_pb2.NetParameter:
    """The layers of a train net that lead to a blob, in place on it too."""
    needed, kept = {blob}, []
    for layer in reversed(net.layer):
        if needed.intersection(layer.top):
            kept.append(layer)
            needed.update(layer.bottom)
    if not kept:
        raise SlimError(f"net '{net.name}': no blob '{blob}', which its deploy net gives out")
    result = copy_of(net)
    del result.layer[:]
    result.layer.extend(reversed(kept))
    return result


def _labels(net: caffe_pb2.NetParameter) -> str:
    """The blob of labels of the first data layer."""
    for layer in net.layer:
        if is_data(layer) and len(layer.top) > 1:
            return str(layer.top[1])
    raise SlimError(f"net '{net.name}': has no data layer with labels, expected one that reads a list")
