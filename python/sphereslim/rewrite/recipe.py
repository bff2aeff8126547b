"""The training recipe of the 1.13 MB model, as changes to a train prototxt: rotation, and the feature's L2 norm."""

from __future__ import annotations

import json

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.inputs import is_data
from sphereslim.net.messages import copy_of
from sphereslim.net.prototxt import find_layer


def with_rotation(net: caffe_pb2.NetParameter, degrees: float, seed: int = 0) -> caffe_pb2.NetParameter:
    """The net whose pictures are turned by a random angle of up to +-`degrees`, by the layer RandomRotation.

    It is a Python layer (see `sphereslim.layers.rotation`), which any Caffe built with Python runs; a new field of
    ImageData would be a parse error there. The data layer's top is renamed, so that nothing else changes.
    """
    if not 0 < degrees <= 180:
        raise SlimError(f'rotation {degrees}: expected above 0 and at most 180 degrees')
    result = copy_of(net)
    layers = [layer for layer in result.layer if is_data(layer)]
    if not layers:
        raise SlimError(f"net '{net.name}': has no data layer to rotate pictures of")
    picture = layers[0].top[0]
    for layer in layers:
        if layer.top[0] == picture:
            layer.top[0] = f'{picture}_upright'
    rotation = type(layers[0])(name=f'{picture}_rotation', type='Python', bottom=[f'{picture}_upright'], top=[picture])
    rotation.python_param.module, rotation.python_param.layer = 'sphereslim.layers.rotation', 'RandomRotation'
    rotation.python_param.param_str = json.dumps({'degrees': degrees, 'seed': seed})
    last = max(index for index, layer in enumerate(result.layer) if is_data(layer))
    result.layer.insert(last + 1, rotation)
    return result


def with_unit_feature(net: caffe_pb2.NetParameter, feature: str, scale: float) -> caffe_pb2.NetParameter:
    """The net whose readers of blob `feature` see it divided by its L2 norm (Normalize) and multiplied by `scale`.

    Without the scale the logits of unit features are too small for the softmax (NormFace, Wang et al. 2017).
    """
    makers = [index for index, layer in enumerate(net.layer) if feature in layer.top]
    if not makers:
        raise SlimError(f"net '{net.name}': no blob '{feature}' to normalise")
    result = copy_of(net)
    del result.layer[:]
    for index, layer in enumerate(net.layer):
        added = result.layer.add()
        added.CopyFrom(layer)
        if index > makers[-1]:
            added.bottom[:] = [f'{feature}_scaled' if blob == feature else blob for blob in layer.bottom]
        if index == makers[-1]:
            result.layer.add(name=f'{feature}_unit', type='Normalize', bottom=[feature], top=[f'{feature}_unit'])
            result.layer.add(
                name=f'{feature}_scaled',
                type='Power',
                bottom=[f'{feature}_unit'],
                top=[f'{feature}_scaled'],
                power_param={'scale': scale},
            )
    return result


def classifier_input(net: caffe_pb2.NetParameter, classifier: str) -> str:
    """The blob that the layer `classifier` reads: the feature."""
    return find_layer(net, classifier).bottom[0]
