"""Losses pair by pair: against plain formulas, kept in files, told by the command."""

import json
import subprocess
import sys
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT
from sphereslim.data.pairs import pair_sets
from sphereslim.errors import SlimError
from sphereslim.evaluation.paired import loss_against, lost_text, pack_right, paired_loss, unpack_right
from sphereslim.evaluation.verification import evaluate
from tiny_run import write_run


def test_the_loss_by_hand():
    before = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], bool)
    after = np.array([1, 1, 1, 0, 0, 0, 0, 1, 0, 0], bool)
    found = paired_loss(before, after)
    assert (found.only_before, found.only_after) == (4, 1) and found.loss == pytest.approx(30)
    # five differences of size 1 with mean 0.3: their variance is (5 - 10 * 0.09) / 9
    assert found.error == pytest.approx(100 * np.sqrt(4.1 / 9 / 10))
    # four of five or more to one side, in either direction
    assert found.p == pytest.approx(2 * (comb(5, 4) + 1) / 32)


def test_a_net_against_itself_loses_nothing_and_that_is_no_surprise():
    right = np.array([True, False, True])
    found = paired_loss(right, right)
    assert (found.loss, found.error, found.p) == (0, 0, 1)


def test_a_difference_is_known_better_than_either_accuracy():
    right = np.random.default_rng(0).random(3000) < 0.9
    worse = right & (np.random.default_rng(1).random(3000) < 0.99)
    single = 100 * np.sqrt(0.9 * 0.1 / 3000)
    assert paired_loss(right, worse).error < single / 2


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_pairs_survive_being_written(judged):
    right = np.array(judged)
    assert unpack_right(pack_right(right), len(right)).tolist() == judged


@pytest.mark.parametrize('text', ['', 'zz', '00ff00'])
def test_digits_of_another_number_of_pairs_are_refused(text):
    with pytest.raises(SlimError, match='16 pairs, expected 4 digits'):
        unpack_right(text, 16)


def result(judged, digest='a'):
    right = np.array(judged, bool)
    return {
        'accuracy': 100 * right.mean(),
        'error': 0.0,
        'pairs': len(right),
        'right': pack_right(right),
        'pairs_digest': digest,
    }


def test_results_without_single_pairs_lose_without_an_error():
    old = {'accuracy': 75.0, 'error': 0.0, 'pairs': 4}
    assert loss_against(old, result([1, 1, 0, 0])) is None
    assert lost_text(old, result([1, 1, 0, 0])) == '25.00'
    assert lost_text(result([1, 1, 1, 0]), result([1, 1, 0, 0])) == '25.00 ± 25.00'


def test_results_on_other_pairs_are_refused():
    with pytest.raises(SlimError, match='2 pairs that are not the 2'):
        loss_against(result([1, 0]), result([1, 0], 'b'))


def test_sets_are_named_after_their_files_and_share_a_folder():
    found = pair_sets(['a/frontal.txt', 'a/profile.txt'], ['faces'])
    assert [(each.name, each.pictures.name) for each in found] == [('frontal', 'faces'), ('profile', 'faces')]
    assert [each.name for each in pair_sets(['a/x.txt', 'b/x.txt'], ['c', 'd'])] == ['a-x', 'b-x']
    with pytest.raises(SlimError, match='given twice'):
        pair_sets(['a/x.txt', 'a/x.txt'], ['c'])
    with pytest.raises(SlimError, match='2 folders of pictures for 3 lists'):
        pair_sets(['a', 'b', 'c'], ['x', 'y'])


@pytest.fixture(scope='module')
def nets(tmp_path_factory):
    """A folder with tiny faces, a deploy prototxt, and two sets of weights for it."""
    from sphereslim.engine import caffe

    folder = tmp_path_factory.mktemp('paired')
    write_run(folder)
    for seed in (1, 2):
        caffe.set_random_seed(seed)
        caffe.Net(str(folder / 'net/deploy.prototxt'), caffe.TEST).save(str(folder / f'{seed}.caffemodel'))
    lines = (folder / 'faces/pairs.txt').read_text().splitlines()
    (folder / 'faces/one_fold.txt').write_text('\n'.join(['3', *lines[1:7]]) + '\n')
    return folder


def evaluate_lfw(folder, *words):
    return subprocess.run(
        [sys.executable, ROOT / 'python/evaluate_lfw.py', 'net/deploy.prototxt', *words, '--no-cache'],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_the_command_tells_the_loss_on_several_lists(nets):
    pairs = ('--pairs', 'faces/pairs.txt', '--pairs', 'faces/one_fold.txt', '--pictures', 'faces/aligned')
    done = evaluate_lfw(
        nets, '2.caffemodel', *pairs, '--json', 'two.json', '--against', 'net/deploy.prototxt', '1.caffemodel'
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('lost ') == 2 and 'McNemar p' in done.stdout and 'one_fold' in done.stdout
    found = json.loads((nets / 'two.json').read_text())['sets']
    how = (nets / 'faces/pairs.txt', nets / 'faces/aligned')
    one, two = (evaluate(nets / 'net/deploy.prototxt', nets / f'{n}.caffemodel', *how).as_dict() for n in (1, 2))
    assert found['pairs']['right'] == two['right']
    assert found['pairs']['against'] == {'accuracy': one['accuracy'], **loss_against(one, two).as_dict()}

    stored = evaluate_lfw(nets, '1.caffemodel', *pairs[:2], *pairs[4:], '--against', 'two.json')
    assert stored.returncode == 0, stored.stderr
    back = loss_against(two, one)
    assert f'lost     {back} to two.json' in stored.stdout


@pytest.mark.parametrize(
    'against, told',
    [
        (('other.json',), 'other.json: says of no single pairs'),
        (('a', 'b', 'c'), '--against: 3 files'),
        (('elsewhere.json',), 'elsewhere.json: holds no results on the pairs of faces/pairs.txt'),
        (('no.json',), 'no.json: cannot be read'),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(nets, against, told):
    (nets / 'other.json').write_text('{"accuracy": 1}')
    (nets / 'elsewhere.json').write_text(json.dumps({'after': result([1, 0])}))
    done = evaluate_lfw(
        nets, '1.caffemodel', '--pairs', 'faces/pairs.txt', '--pictures', 'faces/aligned', '--against', *against
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.returncode == 1 and len(errors) == 1 and told in errors[0]
