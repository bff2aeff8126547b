"""Where a classifier starts behind an embedding that is good already: at the mean direction of each person's pictures.

A classifier with random rows would pull the embedding towards them. The embedding is scaled as well, since a loss of
cosines leaves its length free and a classifier's loss depends on it; cosines between embeddings stay as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sphereslim.data.lists import Faces, read_labelled
from sphereslim.data.preparation import InputForm
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.evaluation.features import extract
from sphereslim.facedata.lists.look_alikes import centres
from sphereslim.net.heads import classifiers
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import open_net
from sphereslim.net.weights import blob_array, fill_blob, set_blob_array, weight_layers

LENGTH = 20.0  # of embeddings: exp(20 (cos a - cos b)) tells persons apart and still leaves a loss to learn from
_LINEAR = ('Convolution', 'InnerProduct', 'Scale')


def with_centres(
    train: caffe_pb2.NetParameter,
    deploy: caffe_pb2.NetParameter,
    weights: caffe_pb2.NetParameter,
    faces: Faces,
    crop: str = 'centre',
) -> caffe_pb2.NetParameter:
    """The weights of a net whose embeddings have a length of 20 on average, with a classifier of the people's centres.

    `train` is for any number of classes; those of `faces` count. SlimError where its classifier reads something else
    than the output of `deploy`.
    """
    rows = sorted(read_labelled(faces.train), key=lambda row: row[1])
    opened = open_net(deploy, weights)
    head, blob = classifiers(train)[0], opened.outputs[0]
    if head.bottom[0] != blob:
        raise SlimError(f"net '{train.name}': {head.name} reads {head.bottom[0]}, expected the embedding {blob}")
    found = extract(opened, [Path(faces.pictures, path) for path, _ in rows], InputForm(crop=crop), mirror=False)
    means = centres(found, np.bincount([label for _, label in rows]).tolist())
    result = _scaled(deploy, weights, LENGTH / float(np.linalg.norm(found, axis=1).mean()))
    classifier = result.layer.add(name=head.name, type=head.type)
    fill_blob(classifier.blobs.add(), means, legacy=False)
    if head.type == 'InnerProduct' and head.inner_product_param.bias_term:
        fill_blob(classifier.blobs.add(), np.zeros(len(means), np.float32), legacy=False)
    return result


def _scaled(deploy: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter, factor: float) -> caffe_pb2.NetParameter:
    """The weights with the last linear layer times a factor: what follows it, pooling or a ReLU, passes it on."""
    result = copy_of(weights)
    held = weight_layers(result)
    last = [layer.name for layer in deploy.layer if layer.type in _LINEAR and layer.name in held][-1]
    for blob in held[last].blobs:
        set_blob_array(blob, factor * blob_array(blob))
    return result
