"""A classifier starts at the mean direction of each person's pictures."""

import cv2
import numpy as np
import pytest
from sphereslim.data.lists import Faces
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.evaluation.features import extract
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import parse_net
from sphereslim.net.weights import blob_array, weight_layers
from sphereslim.studies.class_centres import with_centres

DEPLOY = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 1 } bias_filler { value: 0.5 } } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
"""
TRAIN = (
    DEPLOY.replace('type: "Input" top: "data"', 'type: "Input" top: "data" top: "label"')
    + """
layer { name: "classes" type: "InnerProduct" bottom: "fc" top: "classes" inner_product_param { num_output: 9 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "classes" bottom: "label" top: "loss" }
"""
)


@pytest.fixture
def faces(tmp_path):
    """Four pictures of two people, listed in turns."""
    rng = np.random.default_rng(0)
    for number in range(4):
        cv2.imwrite(str(tmp_path / f'{number}.png'), rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    (tmp_path / 'train.txt').write_text('0.png 0\n1.png 1\n2.png 0\n3.png 1\n')
    return Faces(tmp_path, tmp_path / 'train.txt', tmp_path / 'pairs.txt', 2, 4)


def test_rows_are_the_mean_directions_and_embeddings_have_their_length(faces):
    deploy = parse_net(DEPLOY)
    caffe.set_random_seed(1)  # by chance ReLU leaves nothing of a picture, which has no direction then
    weights = weights_of(open_net(deploy))
    begun = with_centres(parse_net(TRAIN), deploy, weights, faces)
    paths = [faces.pictures / f'{number}.png' for number in range(4)]
    before, after = (extract(open_net(deploy, held), paths, mirror=False) for held in (weights, begun))
    assert np.linalg.norm(after, axis=1).mean() == pytest.approx(20, rel=1e-4)
    assert np.allclose(after / before.mean(), after.mean() * before / before.mean() ** 2, rtol=1e-3)  # one factor
    rows, biases = (blob_array(blob) for blob in weight_layers(begun)['classes'].blobs)
    unit = before / np.linalg.norm(before, axis=1, keepdims=True)
    means = unit[:2] + unit[2:]
    assert np.allclose(rows, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-5)
    assert biases.shape == (2,) and not biases.any()


def test_a_classifier_behind_another_layer_is_refused(faces):
    deploy = parse_net(DEPLOY)
    train = parse_net(TRAIN.replace('bottom: "fc" top: "classes"', 'bottom: "data" top: "classes"'))
    with pytest.raises(SlimError, match='classes reads data, expected the embedding fc'):
        with_centres(train, deploy, weights_of(open_net(deploy)), faces)
