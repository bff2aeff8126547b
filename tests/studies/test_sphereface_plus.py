"""SphereFace+ runs: what the table of runs and its sentences say, and a whole tiny run that is not made twice."""

import json
import subprocess
import sys
from math import degrees
from pathlib import Path

import numpy as np
import pytest
from repository import ROOT
from sphereslim.commands.program import find_command
from sphereslim.commands.studies.sphereface_plus import make_plan
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net
from sphereslim.studies.sphereface_plus.report import rows, table_text, tables
from sphereslim.studies.sphereface_plus.term import strength, term_table, verdicts
from tiny_run import write_run

TERM = """layer { name: "in" type: "Input" top: "data" top: "label"
                  input_param { shape { dim: 4 dim: 5 } shape { dim: 4 } } }
layer { name: "term" type: "InterClass" bottom: "data" bottom: "label" top: "distance" loss_weight: 1
        inter_class_param { num_output: 30 alpha_start_iter: 1 alpha_start_value: 20 } }
"""


def _margin(with_term, without, published=()):
    def runs(values):
        return [{'accuracy': value, 'centres': [[0, 90.0, 70.0], [3, 90.5, 71.0]], 'curves': {}} for value in values]

    found = {
        'name': 'm4',
        'alpha': 1,
        'base': 90.0,
        'released': 2,
        'lost_error': 0.5,
        'gain_errors': [0.25] * len(without),
        'strength': {},
        'with': runs(with_term),
        'without': runs(without),
        'published': {'base': 99.27},
    }
    return found | {'published': {'base': 99.27, 'acc': list(published), 'released': 1}} if published else found


def test_every_run_stands_beside_the_published_ones():
    ours, theirs = rows({'margins': [_margin([91, 92, 94], [], [99.2, 99.4])]})
    assert ours == ['m4', 'ours', '90.00', '91.00 92.00 94.00', '92.33', '1.53', '#2: 92.00', '-2.00 ± 0.50']
    assert theirs == ['m4', 'published', '99.27', '99.20 99.40', '99.30', '0.14', '#1: 99.20', '0.07']


@pytest.mark.parametrize(
    'gains, said',
    [
        ((1, 1.2, 0.9), 'gained: +1.03'),
        ((-1, -1.2, -0.9), 'lost: -1.03'),
        ((1, -1, 0.3), 'shows no clear change: +0.10'),
    ],
)
def test_a_gain_is_told_with_its_spread(gains, said):
    text = verdicts({'margins': [_margin([90 + gain for gain in gains], [90] * 3)]})[0]
    assert said in text and 'over 3 seeds, deviation' in text
    assert text.endswith('; each seed over the same pairs ' + ', '.join(f'{gain:.2f} ± 0.25' for gain in gains) + '.')


def test_one_run_has_no_spread():
    margin = _margin([91], [90]) | {'released': 1}
    assert rows({'margins': [margin]})[0][5] == ''
    assert 'too seldom to tell: +1.00 points over 1 seed;' in verdicts({'margins': [margin]})[0]


def test_the_term_is_told_by_gains_and_angles():
    margin = _margin([91, 92, 93], [90, 90, 92], []) | {'strength': {'turn_degrees': 0.031}}
    margin['without'][0]['centres'][-1] = [3, 90.2, 70.7]
    (row,) = term_table({'margins': [margin, _margin([91, 92, 93], [])]}).rows
    assert [cell.text for cell in row] == [
        'm4',
        '1',
        '1.33 ± 0.33',
        '1.00 ± 0.25; 2.00 ± 0.25; 1.00 ± 0.25',
        '90.500',
        '90.400',
        '71.000',
        '70.900',
        '0.031',
    ]
    assert [table.title for table in tables({'margins': [_margin([91, 92, 93], [])]})] == ['The table of runs']


def test_the_told_turn_is_the_gradients_length():
    net = open_net(parse_net(TERM), phase=caffe.TRAIN)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(30, 5))
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    net.params['term'][0].data[...] = weight
    labels = [3, 7, 11, 29]
    net.blobs['label'].data[...] = labels
    distance = float(net.forward()['distance'])
    net.backward()
    mean = weight.mean(0) / np.sqrt((weight.mean(0) ** 2).sum() + 1e-5)
    away = np.linalg.norm(weight[labels] - mean, axis=1)
    pulled = np.linalg.norm(net.params['term'][0].diff[labels], axis=1)
    margin = {
        'alpha': 20,
        'batch': 4,
        'momentum': 0.5,
        'iterations': 30,
        'with': [{'curves': {'inter-class distance': [[0, distance]], 'lr': [[0, 0.1]]}}],
    }
    # 30 iterations of 4 pictures of 30 classes meet a class 4 times; momentum 0.5 doubles every step
    turn = degrees((pulled / away).mean() * 0.1 * 4 * 2)
    assert strength(margin, 30)['turn_degrees'] == pytest.approx(turn, rel=1e-3)


def test_a_whole_run_tells_what_the_term_did_and_is_not_made_twice(tmp_path):
    write_run(tmp_path)
    command = [
        sys.executable,
        ROOT / 'python/sphereface_plus.py',
        '--settings',
        'plus.json',
        '--faces',
        'faces',
        '--out',
        'out',
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / 'out/report.json').read_text())
    (margin,) = report['margins']
    assert [row[0] for row in margin['with'][0]['centres']] == [0, 1, 2, 3]
    assert margin['with'][0]['centres'][0] == margin['without'][0]['centres'][0]
    assert margin['lost_error'] >= 0 and len(margin['gain_errors']) == 1
    assert margin['strength']['distance'] <= margin['strength']['bound'] == 8
    assert (tmp_path / 'out/report.html').is_file() and (tmp_path / 'out/released/m4.caffemodel').is_file()
    assert (tmp_path / 'out/angle-mean-m4.png').is_file()
    said = table_text(report)
    assert 'published' in said and 'mean angle between class centres' in said and said in done.stdout
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('final.caffemodel')}
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 0 and len(stamps) == 3
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.parametrize('gpu, iter_size, status', [('all', 2, 1), ('0,1', 2, 0), ('all', 1, 0)])
def test_forwards_are_shared_among_gpus_of_a_known_number(gpu, iter_size, status, tmp_path, monkeypatch):
    write_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    values = json.loads(Path('plus.json').read_text())
    values['base']['iter_size'] = iter_size
    Path('plus.json').write_text(json.dumps(values))
    words = f'--settings plus.json --faces faces --out out --gpu {gpu}'.split()
    args = find_command('sphereface-plus').parse(words)
    if status:
        with pytest.raises(SlimError, match='--gpu all: base of plus.json shares the forwards of iter_size 2'):
            make_plan(args)
    else:
        assert make_plan(args).base.iter_size == 1
