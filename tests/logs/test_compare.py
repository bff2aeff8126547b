"""Two trainings compared: their nets, their curves, the published ones."""

import json
import subprocess
from html import escape

import numpy as np
import pytest
from log_texts import LOGS, feed, header, noisy, shared, stamp, training, write
from repository import ROOT
from sphereslim.logs import LogError, parse_log
from sphereslim.logs.compare import verdict
from sphereslim.logs.compare.compare import Pair, judge, pair, read_source
from sphereslim.logs.compare.page import page
from sphereslim.logs.compare.published_curves import read_figure
from sphereslim.logs.compare.text import alone, as_data, course_words, pair_lines, summary
from sphereslim.logs.compare.verdict import compare
from sphereslim.logs.curves import Curve, course
from sphereslim.logs.trainings import LoggedTraining, trainings


def with_layers(**outputs):
    """The header of a net with inner products of so many outputs, and a few iterations."""
    layers = '\n'.join(
        f'layer {{\n  name: "{name}"\n  inner_product_param {{\n    num_output: {count}\n  }}\n}}'
        for name, count in outputs.items()
    )
    *head, end = header(head=None)
    rows = [f'{stamp(n)}Iteration {n}, loss = 1' for n in range(9)]
    return trainings(feed('\n'.join([*head, layers, end, *rows])), 'log')[0]


@pytest.mark.parametrize(
    'theirs, ours, told',
    [
        ({'fc': 4}, {'fc': 4}, ''),
        ({}, {'fc': 4}, ''),
        ({'fc': 4}, {}, ''),
        ({'a': 2, 'fc': 10572}, {'a': 2, 'fc': 40}, "layer 'fc' has 10572 outputs against 40 outputs"),
        (
            {'a': 2, 'fc': 4},
            {'b': 2, 'fc': 3},
            "layer 'a' has 2 outputs against no such layer, and so for 2 more layers",
        ),
    ],
)
def test_logs_of_other_nets_are_told(theirs, ours, told):
    found = judge(with_layers(**theirs), with_layers(**ours), 0.05, (), 12)
    assert found.nets == (f'the nets differ, so curves may: {told}' if told else '')
    assert found.nets in '\n'.join(pair_lines(found)) and escape(found.nets) in page([], [found])


def test_verdicts():
    assert compare(noisy(1), noisy(2), [])['verdict'] == 'matches'
    assert compare(noisy(1), noisy(1), [])['verdict'] == 'identical'
    worse = compare(noisy(1), noisy(2, level=1.0), [])
    assert worse['verdict'] == 'differs' and np.mean([p['difference'] for p in worse['checkpoints']]) > 0.8
    assert compare(noisy(1), noisy(2, every=37), [])['verdict'] == 'differs'
    far = noisy(1)
    far.iteration += 1e6
    assert compare(noisy(1), far, [])['verdict'] == 'cannot tell'
    assert compare(noisy(1, count=60, sigma=3), noisy(2, count=60, sigma=3), [])['verdict'] == 'cannot tell'
    diverged = noisy(2)
    diverged.value[350:] = np.nan
    assert compare(noisy(1), diverged, [])['verdict'] == 'differs'


@pytest.mark.parametrize(
    'theirs, ours, words',
    [
        (np.linspace(1, 5, 40), np.linspace(0.2, 0.9, 25), 'both rise'),
        (np.linspace(1, 5, 40), np.linspace(9, 5, 25), 'rises against falls'),
        (np.full(40, 2.0), np.linspace(1, 5, 25), 'stays against rises'),
        (np.linspace(1, 5, 40), np.linspace(1, 5, 9), ''),
    ],
)
def test_whether_both_go_the_same_way_is_told_whatever_their_levels_and_lengths(theirs, ours, words):
    noise = np.random.default_rng(1).normal(0, 0.05, 40)
    curves = [Curve('loss', 10 * np.arange(len(values)), values + noise[: len(values)]) for values in (theirs, ours)]
    found = Pair(*(LoggedTraining(name, name, {'loss': curve}) for name, curve in zip('ab', curves)), [], [], [], '')
    found.verdicts.append(compare(*curves, []))
    assert course_words(found.verdicts[0]) == words
    shown = f'first to last fifth: {words} ('
    assert [shown in text for text in ('\n'.join(pair_lines(found)), page([], [found]))] == [bool(words)] * 2
    assert (words in summary([found])) and json.dumps(as_data([], [found]))


def test_a_curve_that_only_scatters_stays():
    level = np.random.default_rng(2).normal(1, 0.3, 50)
    assert course(Curve('loss', np.arange(50), level)).word == 'stays'
    assert course(Curve('loss', np.arange(50), level + np.linspace(0, 2, 50))).word == 'rises'
    assert course(Curve('loss', np.arange(9), level[:9])) is None


def test_a_difference_that_lasts_is_seen_in_noise():
    at, theirs, own, noise = np.arange(16.0), np.zeros(16), np.full(16, 0.1), np.ones(16)
    around = np.tile([0.9, -0.9], 8)
    assert [verdict._judge(at, theirs, mine, own, noise)['verdict'] for mine in (around, np.abs(around))] == [
        verdict.MATCHES,
        verdict.DIFFERS,
    ]


def test_noise_hides_what_is_smaller_only():
    flat, steep = np.linspace(1, 1.001, 9), np.linspace(1, 5, 9)
    own = np.full(9, 0.05)
    assert verdict._too_noisy(flat, own, np.full(9, 0.2))
    assert not verdict._too_noisy(flat, own, np.full(9, 0.01))
    assert not verdict._too_noisy(steep, own, np.full(9, 0.2))


def test_rates_are_compared_as_printed():
    rate = np.where(np.arange(100) < 50, 0.1, 0.01)
    theirs = Curve('lr', np.arange(100) * 10, rate)
    between = Curve('lr', np.arange(0, 990, 7), np.where(np.arange(0, 990, 7) < 500, 0.1, 0.01))
    assert compare(theirs, between, [])['verdict'] == 'matches'
    late = Curve('lr', theirs.iteration, np.where(np.arange(100) < 60, 0.1, 0.01))
    assert compare(theirs, late, [])['verdict'] == 'differs'


def test_stage_folders_pair_with_figure_columns_by_name(tmp_path):
    for name in ('01-conv1_1', '02-conv2_1', '04-conv4_1', '05-conv4_1-ADD'):
        (tmp_path / name).mkdir()
        write(tmp_path / name, 'train.log', '\n'.join(training()))
    figure = read_figure(ROOT / 'published/curves/sphereface4_per_layer_loss.csv')
    both = pair(figure, read_source(tmp_path))
    assert [(theirs.names, mine.label.split('/')[-1]) for theirs, mine in both] == [
        ('conv1_1', '01-conv1_1'),
        ('conv2_1', '02-conv2_1'),
        ('conv4_1', '04-conv4_1'),
        ('conv4_1-ADD', '05-conv4_1-ADD'),
    ]


def test_a_published_stage_that_ours_lacks_is_named_and_paired_with_no_other(tmp_path):
    for name in ('00-base', '01-conv1_1', '02-conv2_1', '03-conv3_1', '04-conv4_1', '05-last-round'):
        (tmp_path / 'run' / name).mkdir(parents=True)
        write(tmp_path / 'run' / name, 'train.log', '\n'.join(training()))
    figure, ours = read_figure(ROOT / 'published/curves/sphereface4_per_layer_loss.csv'), read_source(tmp_path / 'run')
    both = [judge(*one, 0.05, (), 12) for one in pair(figure, ours)]
    assert [one.published.names for one in both] == ['conv1_1', 'conv2_1', 'conv3_1', 'conv4_1']
    assert alone(figure, ours, both) == (
        'without a counterpart: published: sphereface4_per_layer_loss conv4_1-ADD; ours: run/00-base, run/05-last-round'
    )
    assert alone(figure[:1], ours[1:2], both[:1]) == ''


@pytest.mark.parametrize('path', sorted((ROOT / 'published/curves').glob('*.csv')), ids=lambda path: path.stem)
def test_published_curves_read_and_match_themselves(path):
    for stage in read_figure(path):
        curve = stage.curves['loss']
        assert np.all(np.diff(curve.iteration) > 0) and curve.value.min() > 0
        assert compare(curve, curve, [])['verdict'] == 'identical'


@pytest.mark.parametrize(
    'text, words',
    [
        ('', 'empty'),
        ('a,b\n', 'line 1'),
        ('iteration,a\n1\n', 'line 2'),
        ('iteration,a\n1,x\n', 'line 2'),
        ('iteration,a\n1,\n', 'no points'),
    ],
)
def test_malformed_figures(tmp_path, text, words):
    with pytest.raises(LogError, match=words):
        read_figure(write(tmp_path, 'a.csv', text))


def test_published_logs_of_different_trainings_differ():
    first, second = (
        trainings(parse_log(shared(LOGS / name)), name)[0]
        for name in ('amsoftmax_facenet20_112x96.log.gz', 'resnet20_cifar10.log.gz')
    )
    verdicts = {one['quantity']: one['verdict'] for one in judge(first, second, 0.05, [], 12).verdicts}
    assert verdicts == {'loss': 'differs', 'lr': 'differs'}


AM_SOFTMAX = """
layer { name: "x" type: "DummyData" top: "x" top: "label" dummy_data_param { shape { dim: 8 dim: 4 } shape { dim: 8 }
  data_filler { type: "gaussian" } data_filler { type: "uniform" max: 4.999 } } }
layer { name: "fc5" type: "InnerProduct" bottom: "x" top: "fc5"
  inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "norm1" type: "Normalize" bottom: "fc5" top: "norm1" }
layer { name: "fc6_l2" type: "InnerProduct" bottom: "norm1" top: "fc6"
  inner_product_param { num_output: 5 normalize: true bias_term: false weight_filler { type: "xavier" } } }
layer { name: "margin" type: "LabelSpecificAdd" bottom: "fc6" bottom: "label" top: "fc6_margin"
  label_specific_add_param { bias: -0.35 } }
layer { name: "scale" type: "Scale" bottom: "fc6_margin" top: "scaled" param { lr_mult: 0 }
  scale_param { filler { value: 30 } } }
layer { name: "softmax_loss" type: "SoftmaxWithLoss" bottom: "scaled" bottom: "label" top: "softmax_loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc6" bottom: "label" top: "accuracy" }
"""


def test_a_run_with_the_head_of_a_published_log_is_told_from_it(tmp_path, quick_command):
    name = 'mobilefacenet_amsoftmax_webface.log.gz'
    theirs = trainings(parse_log(shared(LOGS / name)), name)[0]
    write(tmp_path, 'net.prototxt', f'name: "MobileFaceNet"{AM_SOFTMAX}')
    solver = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "multistep" gamma: 0.1 stepvalue: 16000 display: 100'
    steady = 'average_loss: 100 random_seed: 1'  # the loss of one batch of eight is too noisy to be told apart
    write(tmp_path, 'solver.prototxt', f'{solver} {steady} max_iter: 1500 snapshot_prefix: "s" solver_mode: CPU')
    words = [quick_command, 'train', '-solver=solver.prototxt', '-minloglevel=0']
    done = subprocess.run(words, cwd=tmp_path, text=True, stderr=-1)
    ours = trainings(parse_log(write(tmp_path, 'train.log', done.stderr)), 'ours')[0]
    found = judge(theirs, ours, 0.05, [], 12)
    assert {one['quantity']: one['verdict'] for one in found.verdicts} == {
        'loss': 'differs',
        'lr': 'matches',
        'accuracy': 'differs',
    }
    text = '\n'.join(pair_lines(found))
    assert 'ours  against  mobilefacenet_amsoftmax_webface.log.gz' in text
