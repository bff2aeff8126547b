"""The flame experiment's parts: lists, networks, measure, settings, claims; and a whole tiny run that goes on."""

import json

import cv2
import numpy as np
import pytest
from repository import ROOT
from sphereslim.errors import SlimError
from sphereslim.evaluation.paired import pack_right
from sphereslim.evaluation.top1 import Top1
from sphereslim.net.costs import measure, total
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import find_layer
from sphereslim.quantization.sweep import combinations
from sphereslim.studies.flame.lists import make_lists
from sphereslim.studies.flame.nets import VARIANTS, logits_of, variant_nets
from sphereslim.studies.flame.report import claims, stage1_table
from sphereslim.studies.flame.run import smallest
from sphereslim.studies.flame.settings import read_settings

SETTINGS = ROOT / 'python/settings/flame.small.json'
TINY = {
    'width': 0.125,
    'resize': 46,
    'crop': 44,
    'rotation': 3,
    'validation': 0.34,
    'training': {'iterations': 2, 'base_lr': 0.001, 'batch': 4, 'display': 1},
    'binarization': {'iterations': 2, 'base_lr': 0.001, 'batch': 4, 'display': 1},
    'sweep': {'variants': ['vgg11bn', 'distilled'], 'schemes': ['log', 'linear'], 'bits': [6, 8], 'tolerance': 100},
}


@pytest.fixture
def pictures(tmp_path):
    return _write_pictures(tmp_path / 'pictures')


def _write_pictures(folder):
    folder.mkdir()
    random = np.random.default_rng(0)
    lines = []
    for label in range(4):
        for number in range(3):
            name = f'{label}_{number}.png'
            cv2.imwrite(str(folder / name), random.integers(0, 255, (30, 30, 3), np.uint8))
            lines.append(f'{name} {label}\n')
    (folder / 'train.txt').write_text(''.join(lines))
    return folder


def _settings(tmp_path):
    path = tmp_path / 'settings.json'
    path.write_text(json.dumps(json.loads(SETTINGS.read_text()) | TINY))
    return path


def test_settings_of_both_scales_are_whole():
    for scale in ('small', 'full'):
        settings = read_settings(ROOT / f'python/settings/flame.{scale}.json')
        assert set(settings.sweep.variants) <= {*VARIANTS, 'distilled'}
    assert settings.training.base_lr == 1e-5 and settings.training.batch == 32 and settings.width == 1


def test_unknown_and_missing_settings_are_named(tmp_path):
    values = json.loads(SETTINGS.read_text())
    values['breadth'] = values.pop('width')
    path = tmp_path / 'settings.json'
    path.write_text(json.dumps(values))
    with pytest.raises(SlimError, match=r"settings.json: missing \['width'\], unknown \['breadth'\]"):
        read_settings(path)


def test_split_keeps_everybody_in_both_lists(pictures, tmp_path):
    lists = make_lists(pictures, pictures, tmp_path / 'lists', 0.34, 1)
    assert (lists.people, lists.train_count, lists.val_count) == (4, 8, 4)
    train, val = (set(path.read_text().splitlines()) for path in (lists.train, lists.val))
    assert not train & val and train | val == set((pictures / 'train.txt').read_text().splitlines())
    (pictures / 'val.txt').write_text('0_0.png 0\n')
    assert make_lists(pictures, pictures, tmp_path / 'given', 0.34, 1).val_count == 1
    (pictures / 'val.txt').write_text('0_0.png 9\n')
    with pytest.raises(SlimError, match='labels of train.txt and val.txt do not match'):
        make_lists(pictures, pictures, tmp_path / 'given', 0.34, 1)


@pytest.mark.parametrize('variant', VARIANTS)
def test_variants_take_the_runs_pictures_and_people(variant, pictures, tmp_path):
    settings = read_settings(_settings(tmp_path))
    lists = make_lists(pictures, pictures, tmp_path / 'lists', 0.34, 1)
    train, deploy = variant_nets(settings, ROOT / 'prototxt/vgg11bn', variant, lists)
    assert find_layer(train, 'data').image_data_param.batch_size == 4
    assert [layer.type for layer in train.layer].count('Python') == 1
    net = open_net(deploy)
    assert net.blobs['data'].data.shape[2:] == (44, 44) and net.blobs['prob'].data.shape[1] == 4
    assert logits_of(train) == 'fc9'
    trained = {layer.name: layer.convolution_param.num_output for layer in train.layer if layer.type == 'Convolution'}
    assert trained == {
        layer.name: layer.convolution_param.num_output for layer in deploy.layer if layer.type == 'Convolution'
    }


def test_variants_get_smaller_in_the_published_order():
    settings = read_settings(ROOT / 'python/settings/flame.full.json')

    class Faces:
        train, pictures, people = 'train.txt', 'faces', 2360

    macs = [
        total(measure(variant_nets(settings, ROOT / 'prototxt/vgg11bn', name, Faces)[1])).macs
        for name in ('vgg11bn', 'flame', 'flame-shallow', 'flame-shrink', 'flame-shrink-shallow')
    ]
    assert macs == sorted(macs, reverse=True)


def test_top1_counts_right_answers(pictures, tmp_path):
    lists = make_lists(pictures, pictures, tmp_path / 'lists', 0.34, 1)
    settings = read_settings(_settings(tmp_path))
    _, deploy = variant_nets(settings, ROOT / 'prototxt/vgg11bn', 'flame', lists)
    (tmp_path / 'deploy.prototxt').write_text(str(deploy))
    net = open_net(deploy)
    net.params['fc9'][0].data[...] = 0
    net.params['fc9'][1].data[...] = [0, 0, 1, 0]
    net.save(str(tmp_path / 'net.caffemodel'))
    measured = Top1(lists.val, lists.pictures, settings.resize, settings.crop)
    assert measured(tmp_path / 'deploy.prototxt', tmp_path / 'net.caffemodel') == 25
    assert measured.judged(tmp_path / 'deploy.prototxt', tmp_path / 'net.caffemodel').mean() == 0.25


def test_smallest_file_within_the_tolerance():
    rows = [
        {**point, 'bytes': size, 'value': value}
        for point, size, value in zip(
            combinations(['log'], ['all'], ['layer'], [4, 6, 8]), [40, 60, 80], [50, 79.5, 81]
        )
    ]
    assert smallest(rows, 80, 1)['bytes'] == 60
    assert smallest(rows, 90, 1)['bytes'] == 80


def test_claims_are_judged_by_what_was_measured():
    results = {
        name: {'accuracy': value, 'bytes': size}
        for name, value, size in (('vgg11bn', 80, 100), ('flame', 60, 10), ('distilled', 66, 10))
    }
    rows = [
        {'scheme': scheme, 'bits': 6, 'layers': 'all', 'value': value}
        for scheme, value in (('log', 70), ('linear', 50))
    ]
    said = [[cell.text for cell in row] for row in claims(results, {'vgg11bn': rows}, 8).rows]
    assert said == [
        ['flame keeps the accuracy at a 10th of the size', 'flame', '60.00', '80.00', 'does not hold'],
        ['distillation helps', 'flame', '66.00', '60.00', 'undecided'],
        ['6-bit log min-max, the sign one of 6 bits, beats 6-bit linear', 'vgg11bn', '70.00', '50.00', 'holds'],
    ]


def test_claims_go_by_the_same_pictures_where_results_hold_them():
    judged = {'vgg11bn': np.arange(100) >= 6, 'flame': np.arange(100) >= 2, 'distilled': np.arange(100) >= 9}
    results = {
        name: {'accuracy': 100 * right.mean(), 'bytes': 10, 'macs': 10}
        | {'right': pack_right(right), 'pairs': 100, 'pairs_digest': 'x'}
        for name, right in judged.items()
    }
    assert [row[-1].text for row in claims(results, {}, 10).rows] == ['holds', 'does not hold']
    results |= dict.fromkeys(set(VARIANTS) - set(results), results['flame'])
    lost = {row[0].text: row[2].text for row in stage1_table(results, {'stage1': []}).rows}
    assert (lost['vgg11bn'], lost['flame'], lost['distilled']) == ('', '-4.00 ± 1.97', '3.00 ± 1.71')


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('flame')
    _write_pictures(folder / 'pictures')
    _settings(folder)
    return folder


@pytest.fixture
def flame(run, quick_caffe, monkeypatch):
    """A function that runs the command in `work`, and gives what it prints."""
    monkeypatch.setenv('PYTHONPATH', '')  # the command adds to it
    return lambda: run('flame', '--settings settings.json --out out --pictures pictures')


def test_a_whole_run_writes_its_report_and_file(work, flame):
    said = flame()
    out = work / 'out'
    for name in ('report.html', 'report.md', 'report.json', 'sizes.png', 'bits.png', 'flame.qcaffemodel'):
        assert (out / name).stat().st_size and 'report.html' in said
    assert set(json.loads((out / 'report.json').read_text())['results']) == {*VARIANTS, 'distilled'}
    assert len(list(out.rglob('final.caffemodel'))) == len(VARIANTS) + 1


def test_a_whole_run_goes_on_where_it_stopped(work, flame):
    if not (work / 'out').exists():
        flame()
    stamps = {path: path.stat().st_mtime_ns for path in (work / 'out').rglob('final.caffemodel')}
    missing = work / 'out/03-flame/final.caffemodel'
    missing.unlink()
    flame()
    renewed = {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert renewed == {missing}
