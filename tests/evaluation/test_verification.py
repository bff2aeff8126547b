import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT, SHARED
from sphereslim.data.pairs import Pairs, people_of, read_pairs
from sphereslim.data.preparation import InputForm, load
from sphereslim.errors import SlimError
from sphereslim.evaluation.features import extract, features_of, open_deploy
from sphereslim.evaluation.protocol import best_threshold, verify
from sphereslim.evaluation.roc import equal_error_rate, roc, tar_at
from sphereslim.evaluation.verification import Verification, evaluate, summarise

DEPLOY = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.3 } } }
"""


@pytest.fixture
def small(tmp_path):
    """A tiny deploy net with weights, 8 people with 3 pictures each that look alike, and pairs in 2 folds."""
    from sphereslim.engine import caffe

    caffe.set_random_seed(3)
    (tmp_path / 'deploy.prototxt').write_text(DEPLOY)
    caffe.Net(str(tmp_path / 'deploy.prototxt'), caffe.TEST).save(str(tmp_path / 'w.caffemodel'))
    rng = np.random.default_rng(1)
    for person in 'ABCDEFGH':
        folder = tmp_path / 'faces' / person
        folder.mkdir(parents=True)
        face = rng.integers(40, 216, (8, 6, 3))
        for number in (1, 2, 3):
            picture = np.clip(face + rng.normal(0, 6, face.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f'{person}_000{number}.png'), picture)
    folds = [('ABCD', 'A 1 B 1\nB 2 C 2\nC 1 D 3\nA 3 D 2\n'), ('EFGH', 'E 1 F 1\nF 2 G 2\nG 1 H 3\nE 3 H 2\n')]
    text = ''.join(''.join(f'{p} 1 2\n' for p in people) + mismatched for people, mismatched in folds)
    (tmp_path / 'pairs.txt').write_text('2 4\n' + text)
    return tmp_path


def how(small):
    return small / 'deploy.prototxt', small / 'w.caffemodel', small / 'pairs.txt', small / 'faces'


def test_a_score_of_the_threshold_itself_is_judged_wrong():
    # matched pairs of cosine -0.99995 leave a single step that judges them right, -1
    x, y = np.eye(2)
    near = 0.01 * y - x
    features = np.array([x, near, -x, -near, y, -y, y, -y])
    pairs = Pairs(
        tuple('abcdefgh'),
        np.arange(0, 8, 2),
        np.arange(1, 8, 2),
        np.array([True, True, True, False]),
        np.array([0, 0, 1, 1]),
    )
    assert best_threshold(np.full(2, -0.99995), pairs.same[:2]) == -1
    accuracy, scores = verify(features, pairs)
    assert scores[2:].tolist() == [-1, -1] and accuracy[1] == 0


def test_features_do_not_depend_on_the_batch(small):
    deploy, weights, pairs, faces = how(small)
    pictures = read_pairs(pairs, faces).pictures
    net = open_deploy(deploy, weights)
    one, many = (extract(net, pictures, batch=batch) for batch in (1, 7))
    assert one.shape == (len(pictures), 10)
    assert np.allclose(one, many, atol=1e-5)


def test_features_are_those_of_the_net_and_of_the_mirror_image(small):
    deploy, weights, pairs, faces = how(small)
    path = read_pairs(pairs, faces).pictures[3]
    net = open_deploy(deploy, weights)
    feature = extract(net, [path], InputForm(mean=(10, 20, 30), scale=0.5, rgb=True))[0]
    image = cv2.imread(str(path))[..., ::-1].astype(np.float32)
    for half, view in ((feature[:5], image), (feature[5:], image[:, ::-1])):
        net.blobs['data'].reshape(1, 3, 8, 6)
        net.blobs['data'].data[0] = ((view - (10, 20, 30)) * 0.5).transpose(2, 0, 1)
        assert np.allclose(half, net.forward()['fc'][0], atol=1e-4)


def test_crops(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    path = str(tmp_path / 'x.png')
    cv2.imwrite(path, image)
    assert np.array_equal(load(path, 3, 8, 6, 'centre').transpose(1, 2, 0), image[2:10, 3:9])
    assert np.array_equal(load(path, 3, 12, 6, 'left').transpose(1, 2, 0), image[:, :6])
    assert np.array_equal(load(path, 3, 6, 6, 'resize').transpose(1, 2, 0), cv2.resize(image, (6, 6)))
    assert load(path, 1, 8, 6).shape == (1, 8, 6)
    with pytest.raises(SlimError, match='x.png: is 12x12, the net expects at least 6x13'):
        load(path, 3, 13, 6)


@pytest.mark.parametrize('crop', ['centre', 'left', 'resize'])
def test_a_measure_of_many_weights_is_the_evaluation(small, crop):
    from sphereslim.engine import caffe

    deploy, weights, pairs, faces = how(small)
    deploy.write_text(DEPLOY.replace('dim: 6', 'dim: 4'))
    caffe.Net(str(deploy), caffe.TEST).save(str(weights))
    measure = Verification(pairs, faces, InputForm(crop=crop), mirror=True, batch=5)
    assert measure(deploy, weights) == evaluate(deploy, weights, pairs, faces, form=InputForm(crop=crop)).accuracy
    assert np.array_equal(measure.images, [load(path, 3, 8, 4, crop) for path in measure.pairs.pictures])


def test_cached_features_are_found_by_content(small, monkeypatch):
    deploy, weights, pairs, faces = how(small)
    first = evaluate(deploy, weights, pairs, faces, cache=small / 'cache')
    # whatever needs computing fails from here on
    monkeypatch.setattr('sphereslim.evaluation.features.extract', None)
    assert evaluate(deploy, weights, pairs, faces, cache=small / 'cache') == first
    moved = faces.rename(small / 'moved')
    assert evaluate(deploy, weights, pairs, moved, cache=small / 'cache') == first
    assert evaluate(deploy, weights, pairs, moved, cache=small / 'cache', batch=3) == first
    for change in ({'mirror': False}, {'form': InputForm(rgb=True)}, {'feature': 'conv'}):
        with pytest.raises(TypeError):
            evaluate(deploy, weights, pairs, moved, cache=small / 'cache', **change)


@pytest.mark.parametrize('name', ['deploy.prototxt', 'w.caffemodel', 'faces/A/A_0002.png'])
def test_other_content_is_computed_anew(small, name):
    deploy, weights, pairs, faces = how(small)
    pictures = read_pairs(pairs, faces).pictures
    features_of(deploy, weights, pictures, small / 'cache')
    with open(small / name, 'ab') as file:
        file.write(b'\x82\x7d\x01x' if 'caffemodel' in name else b'\n')  # a field that no caffemodel uses
    features_of(deploy, weights, pictures, small / 'cache')
    assert len(list((small / 'cache').iterdir())) == 2


@pytest.mark.parametrize('folds', [3, 1])
def test_protocol_against_a_plain_computation(folds):
    rng = np.random.default_rng(5)
    features = rng.normal(1, 1, (40, 6)).astype(np.float32)
    left, right = rng.integers(0, 40, (2, 60))
    same = np.arange(60) % 2 == 0
    features[right[same]] += 2 * features[left[same]]
    fold = np.arange(60) * folds // 60
    accuracy, scores = verify(features, Pairs((), left, right, same, fold))
    for k in range(folds):
        others = fold != k if folds > 1 else fold == k
        mean = features[np.concatenate([left[others], right[others]])].mean(0)
        unit = (features - mean) / np.linalg.norm(features - mean, axis=1, keepdims=True)
        cosine = (unit[left] * unit[right]).sum(1)
        right_at = [((cosine > t) == same)[others].mean() for t in np.linspace(-1, 1, 20001)]
        best = np.linspace(-1, 1, 20001)[np.isclose(right_at, max(right_at))].mean()
        assert accuracy[k] == pytest.approx(100 * ((cosine > best) == same)[fold == k].mean())
        assert np.allclose(scores[fold == k], cosine[fold == k], atol=1e-5)


def test_the_error_is_that_of_the_mean_over_folds():
    found = summarise([90, 92, 97], 60)
    assert found.accuracy == 93 and found.error == pytest.approx(np.sqrt((9 + 1 + 16) / 2 / 3))
    assert summarise([90], 20).error == 0


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_roc_against_counting(pairs):
    scores = np.array([score for score, _ in pairs], float)
    same = np.array([match for _, match in pairs])
    if same.all() or not same.any():
        return
    far, tar = roc(scores, same)
    counted = [((scores >= t)[~same].mean(), (scores >= t)[same].mean()) for t in sorted(set(scores), reverse=True)]
    assert np.allclose(np.stack([far, tar], 1), [(0, 0), *counted])
    rate = equal_error_rate(far, tar)
    # The point of equal rates lies on a line of the curve: the way over it is no longer than the direct one.
    start, end = np.stack([far, tar], 1)[:-1], np.stack([far, tar], 1)[1:]
    point = np.array([rate, 1 - rate])
    detour = np.linalg.norm(start - point, axis=1) + np.linalg.norm(end - point, axis=1)
    assert (detour - np.linalg.norm(end - start, axis=1)).min() < 1e-9
    for limit in (0, 0.2, 1):
        assert tar_at(far, tar, limit) == max([0, *(t for f, t in counted if f <= limit)])


def test_rates_of_known_scores():
    same = np.repeat([True, False], 100)
    far, tar = roc(np.r_[np.arange(100), np.arange(100) - 50.5], same)
    assert equal_error_rate(far, tar) == pytest.approx(0.25, abs=0.01)
    assert tar_at(far, tar, 0) == 0.51 and tar_at(far, tar, 0.1) == 0.61


def test_pairs_name_what_is_wrong(small):
    _, _, pairs, faces = how(small)
    assert people_of(pairs) == set('ABCDEFGH')
    good = pairs.read_text()
    for bad, message in (
        ('', 'is empty'),
        ('x\n', ':1:'),
        (good + 'A 1 2\n', '17 pairs'),
        (good.replace('A 1 2', 'A 1 x'), ':2:'),
        (good.replace('A 1 2', 'Z 1 2'), 'Z_0001'),
    ):
        pairs.write_text(bad)
        with pytest.raises(SlimError, match=message):
            read_pairs(pairs, faces)


def run(*words):
    return subprocess.run(
        [sys.executable, ROOT / 'python' / 'evaluate_lfw.py', *map(str, words)], capture_output=True, text=True
    )


def test_the_command(small):
    deploy, weights, pairs, faces = how(small)
    told = run(
        deploy,
        weights,
        '--pairs',
        pairs,
        '--pictures',
        faces,
        '--cache',
        small / 'cache',
        '--json',
        small / 'r.json',
        '--roc',
        small / 'roc.png',
    )
    assert told.returncode == 0, told.stderr
    values = json.loads((small / 'r.json').read_text())
    assert values['pairs'] == 16 and len(values['folds']) == 2
    assert f'{values["accuracy"]:.2f}' in told.stdout and 'EER' in told.stdout and 'only 8 mismatched' in told.stdout
    assert cv2.imread(str(small / 'roc.png')) is not None
    assert values['accuracy'] == pytest.approx(evaluate(*how(small)).accuracy)


@pytest.mark.parametrize(
    'files, options',
    [
        ({'deploy': 'no.prototxt'}, ()),
        ({'weights': 'no.caffemodel'}, ()),
        ({'weights': 'faces/A/A_0001.png'}, ()),
        ({}, ('--feature', 'fc9')),
        ({}, ('--mean', '1', '2')),
    ],
)
def test_bad_input_ends_in_one_line(small, files, options):
    told = run(
        small / files.get('deploy', 'deploy.prototxt'),
        small / files.get('weights', 'w.caffemodel'),
        '--pairs',
        small / 'pairs.txt',
        '--pictures',
        small / 'faces',
        '--no-cache',
        *options,
    )
    assert told.returncode == 1
    assert len(told.stderr.strip().splitlines()) == 1 and told.stderr.startswith('error: ')


def test_a_published_model_gives_genuine_caffes_features():
    golden = SHARED / 'goldens' / 'mobilefacenet_lfw.npz'
    model, faces = SHARED / 'data' / 'mobilefacenet', SHARED / 'data' / 'lfw' / 'lfw-112X112'
    if not (golden.is_file() and model.is_dir() and faces.is_dir()):
        pytest.skip(f'{SHARED}: no published model and faces there (set SHARED)')
    expected = np.load(golden)
    pictures = [faces / name[:-5] / f'{name}.jpg' for name in expected['names'][:12]]
    net = open_deploy(model / 'deploy.prototxt', model / 'mobilefacenet.caffemodel')
    found = extract(net, pictures, InputForm(rgb=True), mirror=False)
    assert np.abs(found - expected['features'][:12]).max() < 1e-3
