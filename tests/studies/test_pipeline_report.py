"""The report of a run: what its tables say and where from, what the page holds, drawing figures again."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from repository import ROOT
from sphereslim.data.pairs import pair_sets
from sphereslim.data.preparation import InputForm
from sphereslim.errors import SlimError
from sphereslim.evaluation.paired import pack_right
from sphereslim.evaluation.speed import speed_ratio
from sphereslim.report.cells import ANALYTIC, MEASURED, PUBLISHED
from sphereslim.report.text_tables import duration
from sphereslim.studies.pipeline_report import write
from sphereslim.studies.pipeline_report.figures import figures, losses
from sphereslim.studies.pipeline_report.more_sets import add_set
from sphereslim.studies.pipeline_report.published import printed_for
from sphereslim.studies.pipeline_report.tables import accuracy, published_table, sets_table, stage_table
from sphereslim.studies.pipeline_report.write import write_figure
from sphereslim.training.stage import Stage
from tiny_run import write_run

PUBLISHED_FOLDER = ROOT / 'published'


def result(percent):
    return {'accuracy': percent, 'error': 0.5, 'folds': [percent - 0.5, percent + 0.5]}


def row(stage, parameters, after, speed=1.0, before=None, filters=''):
    return {
        'stage': stage,
        'folder': f'run/{stage}',
        'filters': filters,
        'parameters': parameters,
        'macs': 164290560,
        'model_bytes': 4 * parameters,
        'milliseconds': 8 / speed,
        'speed_ratio': speed,
        'speed_quartiles': [0.9 * speed, 1.1 * speed],
        'before': before and result(before),
        'after': result(after),
        'training_seconds': 90.0,
    }


def report(name='sphereface-4', folder='run', complete=True):
    training = {'iterations': 10, 'batch': 8, 'base_lr': 0.1}
    curve = {'loss': [[i, 5 - i / 10] for i in range(10)], 'lambda': [[i, 1000 / (1 + i)] for i in range(10)]}
    return {
        'title': 'a <net> pruned',
        'folder': str(folder),
        'command': 'python python/prune_pipeline.py --out run',
        'complete': complete,
        'settings': {
            'net': 'prototxt/x',
            'layers': ['conv1_1'],
            'rate': 0.5,
            'criterion': 'l1',
            'seed': 1,
            'base': training,
            'fine_tune': training,
            'last_round': training,
        },
        'faces': {'list': 'data/train.txt', 'people': 3, 'pictures': 9, 'pairs': 'data/pairs.txt'},
        'machine': {'system': 'Linux', 'cores': 4, 'python': '3.11', 'caffe': '1.0.0', 'training': 'CPU'},
        'rows': [
            row('00-base', 12562496, 98.0),
            row('01-conv1_1', 12524704, 97.5, 1.1, 90.0, '4 → 2'),
            row('02-last-round', 5894432, 97.25, 2.0, 97.0),
        ],
        'selections': [
            {
                'stage': '01-conv1_1',
                'layer': 'conv1_1',
                'criterion': 'l1',
                'kept': [0, 2],
                'removed': [1, 3],
                'scores': [3.0, 1.0, 2.0, -0.5],
            }
        ],
        'curves': {'00-base': curve, '01-conv1_1': curve, '02-last-round': {}},
        'published': printed_for(PUBLISHED_FOLDER, name),
    }


def texts(cells):
    return [cell.text for cell in cells]


def test_every_number_of_the_stage_table_has_a_source():
    table = stage_table(report())
    assert texts(table.rows[1]) == [
        '01-conv1_1',
        '4 → 2',
        '12,524,704',
        '164.3 M',
        '50.1 MB',
        '7.27',
        '1.10× (0.99–1.21)',
        '90.00 ± 0.50 %',
        '97.50 ± 0.50 %',
        '0.50',
        '90 s',
    ]
    assert [cell.source for cell in table.rows[1]] == ['', *[ANALYTIC] * 4, *[MEASURED] * 6]
    assert table.rows[0][7].text == table.rows[0][7].source == ''


def test_a_loss_stands_with_its_error_over_the_same_pairs_where_the_results_hold_them():
    values = report()
    right = np.arange(400) >= 8
    for row_, judged in zip(values['rows'], (right, right[::-1], np.roll(right, 2))):
        row_['after'] |= {'pairs': 400, 'pairs_digest': 'x', 'right': pack_right(judged)}
    assert [row_[9].text for row_ in stage_table(values).rows] == ['', '0.50 ± 1.00', '0.75 ± 0.50']


def test_further_pairs_have_a_table_of_their_own():
    values = report()
    assert sets_table(values) is None
    for row_, percent in zip(values['rows'], (96, 95, 94.5)):
        row_['sets'] = {'profile': result(percent)}
    assert [texts(cells) for cells in sets_table(values).rows] == [
        ['00-base', '96.00 ± 0.50 %', ''],
        ['01-conv1_1', '95.00 ± 0.50 %', '1.00'],
        ['02-last-round', '94.50 ± 0.50 %', '1.50'],
    ]


def test_the_stages_are_verified_on_further_pairs_once(tmp_path, monkeypatch):
    from sphereslim.engine import caffe

    write_run(tmp_path)
    values = report(folder=tmp_path) | {'rows': [row('00-base', 10, 98.0)]}
    stage = Stage(tmp_path / '00-base')
    stage.folder.mkdir()
    stage.deploy.write_text((tmp_path / 'net/deploy.prototxt').read_text())
    caffe.Net(str(stage.deploy), caffe.TEST).save(str(stage.final))
    (pair_set,) = pair_sets([tmp_path / 'faces/pairs.txt'], [tmp_path / 'faces/aligned'])
    add_set(values, pair_set, InputForm(), mirror=False)
    found = values['rows'][0].pop('sets')
    assert found['pairs']['pairs'] == 12 and len(found['pairs']['folds']) == 2
    monkeypatch.setattr('sphereslim.studies.pipeline_report.more_sets.evaluate', None)
    add_set(values, pair_set, InputForm(), mirror=False)
    assert values['rows'][0]['sets']['pairs']['right'] == found['pairs']['right']


def test_ours_stands_beside_the_printed_row_of_the_same_rate():
    table = published_table(report())
    assert [row[0].text for row in table.rows] == ['SphereFace-4', 'SphereFace-4 at 0.75', 'SphereFace-4 at 0.5']
    base, other, ours = table.rows
    assert texts(ours)[1:7] == ['5,894,432', '5.9 M', '97.25 ± 0.50 %', '97.40 %', '0.75', '0.75']
    assert texts(ours)[7:] == ['50 %', '72 %'] and texts(base)[7:] == ['100 %', '100 %']
    assert texts(other)[1::2] == [''] * 4 and {cell.source for cell in other[2::2]} == {PUBLISHED}
    assert [cell.source for cell in ours] == ['', ANALYTIC, PUBLISHED, *[MEASURED, PUBLISHED] * 3]


def test_an_unfinished_run_has_no_end_to_compare():
    assert texts(published_table(report(complete=False)).rows[2])[1::2] == [''] * 4


def test_a_network_that_nobody_printed_gets_no_such_table(tmp_path):
    assert printed_for(PUBLISHED_FOLDER, 'tiny') is None and published_table(report('tiny')) is None
    assert 'Beside the published' not in write(report('tiny', tmp_path), tmp_path).read_text()


@pytest.mark.parametrize(
    'name, stages',
    [
        ('sphereface-4', {'conv1_1', 'conv2_1', 'conv3_1', 'conv4_1'}),
        ('sphereface-10', {'conv1_1', 'conv2_2', 'conv3_2', 'conv3_4', 'conv4_1'}),
    ],
)
def test_published_curves_are_found_by_the_names_of_the_stages(name, stages):
    curves = printed_for(PUBLISHED_FOLDER, name)['curves']
    assert {'base', 'last-round', *stages} <= set(curves)
    assert curves['base'][-1][0] == 28000 and curves['last-round'][-1][1] > 3


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.addresses, self.broken = [], 0, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.addresses += [values[name] for name in ('src', 'href') if name in values]
        self.images += tag == 'img' and bool(values.get('alt'))
        if tag not in ('img', 'meta'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)


def test_the_page_is_one_whole_file_with_every_figure_and_its_command(tmp_path):
    text = write(report(folder=tmp_path), tmp_path).read_text()
    page = Page(text)
    names = [figure.name for found in figures(report()).values() for figure in found]
    assert names == ['accuracy-size', 'accuracy-time', 'loss-00-base', 'loss-01-conv1_1', 'channels-conv1_1']
    assert page.images == len(names) and not page.open and not page.broken
    assert all(address.startswith('data:image/png;base64,') for address in page.addresses)
    assert not re.search(r'https?://|@import|url\(', text) and 'a &lt;net&gt; pruned' in text
    for name in names:
        assert f'--figure {name}' in text and (tmp_path / f'{name}.png').read_bytes().startswith(b'\x89PNG')
    markdown = (tmp_path / 'report.md').read_text()
    assert all(f'({name}.png)' in markdown for name in names)


def test_the_json_holds_the_tables_and_makes_the_same_report_again(tmp_path):
    page = write(report(folder=tmp_path), tmp_path).read_text()
    values = json.loads((tmp_path / 'report.json').read_text())
    assert values['tables'][1]['rows'][2][2] == {'text': '5.9 M', 'source': PUBLISHED}
    done = subprocess.run([sys.executable, ROOT / 'python/report.py', tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'report.html').read_text() == page


def test_one_figure_is_drawn_again_and_an_unknown_one_is_refused_by_name(tmp_path):
    assert write_figure(report(), tmp_path, 'channels-conv1_1') == tmp_path / 'channels-conv1_1.png'
    assert [path.name for path in tmp_path.iterdir()] == ['channels-conv1_1.png']
    with pytest.raises(SlimError, match='loss-99.*accuracy-size, accuracy-time'):
        write_figure(report(), tmp_path, 'loss-99')


def test_a_folder_without_a_report_is_told_in_one_line(tmp_path):
    done = subprocess.run([sys.executable, ROOT / 'python/report.py', tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and 'report.json' in done.stderr


def test_one_fold_shows_no_error():
    assert accuracy({'accuracy': 90.0, 'error': 0.0, 'folds': [90.0]}) == '90.00 %'


def test_speed_is_compared_round_by_round():
    slow_and_quiet = [8.0, 80.0, 8.0, 8.0, 40.0]
    assert speed_ratio(slow_and_quiet, [t / 2 for t in slow_and_quiet]) == (2, 2, 2)
    median, low, high = speed_ratio([8.0] * 5, [2.0, 4.0, 4.0, 8.0, 16.0])
    assert (median, low, high) == (2, 1, 2)


def test_durations_read_like_words():
    assert [duration(s) for s in (None, 45.4, 750, 40000)] == ['', '45 s', '12.5 min', '11.1 h']


@pytest.mark.parametrize('ours, scale', [([(0, 0.05), (10, 0.01)], 'log'), ([(0, 4), (10, 1)], 'linear')])
def test_a_loss_far_below_the_published_one_is_not_drawn_flat_on_the_axis(ours, scale):
    figure = losses({'loss': ours}, [(0, 8), (100, 3)])
    assert figure.axes[0].get_yscale() == scale


@pytest.mark.parametrize('criterion, is_told', [('greedy_pair', True), ('thinet', False)])
def test_the_bars_of_pairs_are_explained(criterion, is_told):
    values = report()
    for selection in values['selections']:
        selection['criterion'] = criterion
    captions = [figure.text for found in figures(values).values() for figure in found if 'channels' in figure.name]
    assert captions and all(('leave in pairs' in caption) is is_told for caption in captions)
