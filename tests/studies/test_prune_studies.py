"""The published experiments and the study of a model, whole, on a network that takes no time."""

import json

import numpy as np
import pytest
from sphereslim.data.pairs import pair_lines, write_few
from sphereslim.files import read_json
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import blob_array, read_weights, weight_layers
from sphereslim.report.write import write_into
from sphereslim.rewrite.distill import PREFIX
from sphereslim.studies.one_shot.page import MARKS
from sphereslim.studies.one_shot.study import percent
from tiny_run import write_run

pytestmark = pytest.mark.usefixtures('quick_caffe')
TRAINING = {'iterations': 2, 'base_lr': 0.01, 'batch': 4, 'display': 1}


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('studies')
    write_run(folder)
    common = {'batches': 1, 'seed': 1, 'time_batch': 2}
    (folder / 'nets.json').write_text(
        json.dumps(common | {'width': 0.5, 'base': TRAINING, 'fine_tune': TRAINING, 'last_round': TRAINING})
    )
    net = {
        'net': 'net',
        'layers': ['conv1'],
        'rates': [0.5],
        'base': TRAINING,
        'fine_tune': TRAINING,
        'fit_start': True,
        'own': {'conv1': TRAINING | {'iterations': 3}},
    }
    single = {'net': 'net', 'layers': ['conv2'], 'rate': 0.5, 'seeds': [1], 'fine_tune': TRAINING}
    (folder / 'entropy.json').write_text(json.dumps(common | {'nets': {'net': net}, 'single': single}))
    (folder / 'tiny.caffemodel').write_bytes(
        weights_of(open_net(read_net(folder / 'net' / 'deploy.prototxt'))).SerializeToString()
    )
    return folder


def test_sphereface_prune_reports_every_net_and_rate(work, run):
    words = '--settings nets.json --faces faces --prototxt . --nets net --rates 0.5 --out sp'
    said = run('sphereface_prune', words)
    rows = json.loads((work / 'sp' / 'report.json').read_text())['rows']
    assert [row['rate'] for row in rows] == [None, 0.5] and rows[1]['parameters'] < rows[0]['parameters']
    assert rows[0]['trained_parameters'] < rows[0]['parameters'] and 'net at 0.5' in said
    assert rows[0]['forward_ratio'] == 1 and rows[1]['forward_ratio'] > 0
    pictures = {path.stem for path in (work / 'sp').glob('*.png')}
    assert pictures == {'accuracy-size', 'course-net', 'loss-net', 'channels-net-0.5'}
    assert 'done' in run('sphereface_prune', words)


def test_stages_between_are_verified_on_some_of_the_pairs(work, run):
    (work / 'few.json').write_text(json.dumps(json.loads((work / 'nets.json').read_text()) | {'stage_pairs': 1}))
    run('sphereface_prune', '--settings few.json --faces faces --prototxt . --nets net --rates 0.5 --out few')
    stages = [work / 'few/net/00-base', *sorted((work / 'few/net/rate-0.5').glob('0*'))]
    before, after = (
        [read_json(stage / 'evaluation.json').get(moment, {}).get('pairs') for stage in stages]
        for moment in ('before', 'after')
    )
    folds, count, _ = pair_lines(work / 'faces/pairs.txt')
    whole, some = 2 * folds * count, 2 * folds
    assert after == [whole, some, some, whole] and before == [None, some, some, some] and count > 1


def test_entropy_reports_nets_and_single_layers(work, run):
    run('entropy', '--settings entropy.json --faces faces --root . --out entropy')
    found = json.loads((work / 'entropy' / 'report.json').read_text())
    assert {(row['layer'], row['criterion']) for row in found['layers']} == {('conv2', 'entropy'), ('conv2', 'random')}
    assert found['nets'][1]['macs_ratio'] > 1
    assert (work / 'entropy' / 'net' / '00-base' / 'init.caffemodel').is_file()
    solver = (work / 'entropy' / 'net' / 'rate-0.5' / '01-conv1' / 'solver.prototxt').read_text()
    assert 'max_iter: 3' in solver


def test_study_fills_its_tables_and_distils(work, run):
    words = (
        'net/deploy.prototxt tiny.caffemodel --pairs faces/pairs.txt --pictures faces/aligned --images '
        'faces/aligned --count 4 --test-count 4 --refit-count 8 --few-pairs 3 --criteria l1,random --ranked-by l1 '
        '--rates 0.5,0.25 --budgets 0.6 --distill 0.6 --cpu-minutes 0.001 --batch 4 --rgb --out study '
        '--doc page.md'
    )
    run('study', words)
    results = json.loads((work / 'study' / 'results.json').read_text())
    assert set(results) == {
        'original',
        'headline-60',
        'stepwise-60',
        'distilled-60',
        'random-60-cut',
        'random-60-refitted',
        *(f'l1-60-{how}{uniform}' for how in ('cut', 'refitted') for uniform in ('', '-uniform')),
    }
    whole = results['original']
    assert all(result['macs'] <= 0.6 * whole['macs'] for name, result in results.items() if name != 'original')
    assert results['headline-60']['shift'] <= results['random-60-cut']['shift']
    net = read_net(work / 'study' / 'distilled-60' / 'train.prototxt')
    assert any(layer.name == f'{PREFIX}conv1' for layer in net.layer)
    rates = {layer.name: [spec.lr_mult for spec in layer.param] for layer in net.layer if layer.param}
    start = weight_layers(read_weights(work / 'study' / 'distilled-60' / 'init.caffemodel'))
    for name, held in start.items():
        sizes = [np.sqrt(np.square(blob_array(blob)).mean()) or 1 for blob in held.blobs]
        assert rates[name] == pytest.approx([0] * len(sizes) if name.startswith(PREFIX) else sizes, rel=1e-4)
    taught = (work / 'study' / 'distilled-60' / 'pictures.txt').read_text().splitlines()
    assert len(taught) == len(list((work / 'faces' / 'aligned').rglob('*.*g'))) - 4  # those of distances stay unseen
    assert (work / 'page.md').read_text().count(MARKS[0]) == 1 and (work / 'page.png').is_file()


def test_a_page_keeps_the_words_around_the_tables(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(f'# Mine\n\n{MARKS[0]}\nold\n{MARKS[1]}\n\nwhat limits it\n')
    write_into(page, MARKS, [])
    assert 'old' not in page.read_text() and page.read_text().endswith('\n\nwhat limits it\n')


def test_few_pairs_are_the_first_of_every_fold(tmp_path):
    lines = [f'{"same" if row // 3 % 2 == 0 else "other"} {row}' for row in range(12)]
    (tmp_path / 'pairs.txt').write_text('\n'.join(['2\t3', *lines]))
    few = write_few(tmp_path / 'pairs.txt', tmp_path / 'few.txt', folds=2, count=1)
    assert few.read_text().splitlines() == ['2\t1', 'same\t0', 'other\t3', 'same\t6', 'other\t9']


def test_budgets_that_differ_have_names_that_differ():
    assert [percent(share) for share in (0.85, 0.7, 0.29, 0.705, 0.7049)] == ['85', '70', '29', '70.5', '70.49']
