"""CosFace, ArcFace and center loss on real faces through `caffe train`, against the forks' equations in numpy."""

import re
from collections import Counter

import numpy as np
import pytest
from repository import SHARED

import caffe
from caffe.cli.main import main

CELEBA = SHARED / 'data' / 'celeba'
PEOPLE, BATCH, ITERATIONS = 6, 12, 20
FILLER = 'weight_filler { type: "xavier" }'
NET = f"""
layer {{ name: "data" type: "ImageData" top: "data" top: "label"
  transform_param {{ mean_value: 127.5 scale: 0.0078125 }}
  image_data_param {{ source: "faces.txt" root_folder: "{CELEBA}/celeba-112X112/" batch_size: {BATCH}
    new_height: 28 new_width: 28 }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 8 kernel_size: 5 stride: 3 {FILLER} }} }}
layer {{ name: "relu" type: "PReLU" bottom: "conv" top: "conv" }}
layer {{ name: "f" type: "InnerProduct" bottom: "conv" top: "f" inner_product_param {{ num_output: 16 {FILLER} }} }}
"""
COSINES = f"""
layer {{ name: "z" type: "Normalize" bottom: "f" top: "z" }}
layer {{ name: "scores" type: "InnerProduct" bottom: "z" top: "s"
  inner_product_param {{ num_output: {PEOPLE} bias_term: false normalize: true {FILLER} }} }}
%s
layer {{ name: "scale" type: "Scale" bottom: "m" top: "scaled" param {{ lr_mult: 0 }}
  scale_param {{ num_axes: 0 filler {{ value: 16 }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "scaled" bottom: "label" top: "loss" }}
"""
HEADS = {
    'CosFace': COSINES
    % """layer { name: "m" type: "LabelSpecificAdd" bottom: "s" bottom: "label" top: "m"
      label_specific_add_param { bias: -0.35 } }""",
    'ArcFace': COSINES
    % """layer { name: "m" type: "CosinAddm" bottom: "s" bottom: "label" top: "m" cosin_add_m_param { m: 0.5 } }""",
    'center loss': f"""
    layer {{ name: "scores" type: "InnerProduct" bottom: "f" top: "s"
      inner_product_param {{ num_output: {PEOPLE} bias_term: false {FILLER} }} }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "label" top: "loss" }}
    layer {{ name: "center" type: "CenterLoss" bottom: "f" bottom: "label" top: "center" loss_weight: 0.1
      center_loss_param {{ num_output: {PEOPLE} center_filler {{ type: "xavier" }} }} }}""",
}
SOLVER = f"""
net: "net.prototxt" base_lr: 0.005 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005
display: 1 max_iter: {ITERATIONS} snapshot_prefix: "s" random_seed: 3 solver_mode: CPU
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with `faces.txt`, some pictures of a few people; skips the test where there are none."""
    if not CELEBA.exists():
        pytest.skip(f'{CELEBA} is not here')
    faces = [line.split() for line in (CELEBA / 'identity.txt').read_text().splitlines()]
    people = {who: label for label, (who, _) in enumerate(Counter(who for _, who in faces).most_common(PEOPLE))}
    chosen = [(picture, people[who]) for picture, who in faces if who in people]
    order = np.random.default_rng(0).permutation(len(chosen))
    (tmp_path / 'faces.txt').write_text(''.join(f'{chosen[i][0]} {chosen[i][1]}\n' for i in order))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def softmax_loss(scores, labels):
    """(loss, its gradient by the scores)."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    likely = powers / powers.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    grad = likely.copy()
    grad[rows, labels] -= 1
    return -np.log(likely[rows, labels]).mean(), grad / len(labels)


def cosface(cosine):
    """(score, its derivative) of the label's cosine."""
    return np.where(cosine > 0.35, cosine - 0.35, cosine), np.ones_like(cosine)


def arcface(cosine, m=0.5):
    sine = np.sqrt(1 - cosine**2)
    beyond = cosine <= np.cos(np.pi - m)
    inside = cosine * np.cos(m) - sine * np.sin(m)
    return np.where(beyond, cosine - m * np.sin(m), inside), np.where(beyond, 1, np.cos(m) + np.sin(m) * cosine / sine)


def margin_head(f, labels, weights, margin):
    """(loss, gradients by f and by the weights) of a margin on the label's cosine, times 16, and a softmax loss."""
    rows = np.arange(len(labels))
    length = np.sqrt((f**2).sum(1, keepdims=True) + 1e-6)
    z, w = f / length, weights / np.sqrt((weights**2).sum(1, keepdims=True) + 1e-6)
    scores = z @ w.T
    slope = np.ones_like(scores)
    scores[rows, labels], slope[rows, labels] = margin(scores[rows, labels])
    loss, grad = softmax_loss(16 * scores, labels)
    grad *= 16 * slope
    dz = grad @ w
    return loss, (dz - z * (z * dz).sum(1, keepdims=True)) / length, [grad.T @ z]


def center_head(f, labels, weights, centers):
    """(loss, gradients by f, by the weights and by the centres) of a softmax loss and 0.1 of the center loss."""
    loss, grad = softmax_loss(f @ weights.T, labels)
    away = f - centers[labels]
    center = (away**2).sum() / 2 / len(f)
    counts = np.bincount(labels, minlength=PEOPLE)[:, None]
    moved = np.zeros_like(centers)
    np.add.at(moved, labels, -away)
    return loss + 0.1 * center, grad @ weights + 0.1 * away / len(f), [grad.T @ f, moved / (1 + counts)]


def expected(head, f, labels, params):
    if head == 'center loss':
        return center_head(f, labels, *params)
    return margin_head(f, labels, *params, cosface if head == 'CosFace' else arcface)


def first_losses(head, count):
    """The losses of the first iterations by the equations, against which all gradients are held."""
    solver, losses = caffe.get_solver('solver.prototxt'), []
    names = ['scores', 'center'] if head == 'center loss' else ['scores']

    def check():
        net, params = solver.net, [solver.net.params[name][0] for name in names]
        labels = net.blobs['label'].data.astype(int)
        values = [blob.data.astype('d') for blob in params]
        loss, df, gradients = expected(head, net.blobs['f'].data.astype('d'), labels, values)
        np.testing.assert_allclose(net.blobs['f'].diff, df, rtol=1e-3, atol=1e-6)
        for blob, gradient in zip(params, gradients, strict=True):
            np.testing.assert_allclose(blob.diff, gradient, rtol=1e-3, atol=1e-6)
        losses.append(loss)

    solver.add_callback(lambda: None, check)
    solver.step(count)
    return losses


@pytest.mark.parametrize('head', HEADS)
def test_first_losses_and_gradients_are_those_of_the_equations_and_training_goes_on(folder, capfd, monkeypatch, head):
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)  # whatever GLOG_minloglevel hides
    (folder / 'net.prototxt').write_text(NET + HEADS[head])
    (folder / 'solver.prototxt').write_text(SOLVER)
    losses = first_losses(head, 3)
    capfd.readouterr()
    assert main(['train', '-solver', 'solver.prototxt']) == 0
    shown = [float(loss) for loss in re.findall(r'Iteration \d+ .*, loss = (\S+)', capfd.readouterr().err)]
    np.testing.assert_allclose(shown[:3], losses, rtol=1e-4)
    assert len(shown) == ITERATIONS
    assert np.mean(shown[-3:]) < 0.9 * np.mean(shown[:3])
