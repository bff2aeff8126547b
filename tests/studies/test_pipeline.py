"""The pipeline goes on from wherever it was stopped, its networks are those of a run that never was, and its losses go
as the published ones."""

import json
import os

import pytest
from repository import ROOT
from sphereslim.net.weights import read_weights
from tiny_run import write_run

WORDS = '--settings settings.json --faces faces --out'


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pipeline')
    write_run(folder)
    return folder


def weights(folder, name):
    """{stage: {layer: its blobs}} of the networks of a run."""
    return {
        path.parent.name: {layer.name: [list(blob.data) for blob in layer.blobs] for layer in read_weights(path).layer}
        for path in sorted(folder.glob(f'*/{name}'))
    }


def test_a_run_that_is_stopped_again_and_again_ends_as_one_that_is_not(work, run, quick_caffe, monkeypatch):
    run('prune_pipeline', f'{WORDS} whole')
    replace, left = os.replace, 0

    def stop(*paths):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr('sphereslim.files.os.replace', stop)
    for count in range(1, 60, 6):  # so many files are written before it is stopped
        left = count
        try:
            run('prune_pipeline', f'{WORDS} stopped')
        except SystemExit as end:
            assert end.code == 130
        else:
            break
    monkeypatch.undo()
    assert count > 6 and (work / 'stopped' / 'report.html').exists()
    for name in ('final.caffemodel', 'init.caffemodel'):
        expected = weights(work / 'whole', name)
        assert len(expected) > 2 and weights(work / 'stopped', name) == expected


def test_a_loss_rises_as_the_published_one_while_lambda_falls(work, run, quick_caffe):
    settings = json.loads((work / 'settings.json').read_text())
    schedule = {'iterations': 60, 'base_lr': 1e-6, 'batch': 4, 'display': 1, 'lambda_falls': 50}
    (work / 'rising.json').write_text(json.dumps(settings | {'layers': ['conv1'], 'fine_tune': schedule}))
    run('prune_pipeline', '--settings rising.json --faces faces --out rising')
    published = ROOT / 'published' / 'curves' / 'sphereface4_per_layer_loss.csv'
    said = run('compare_logs', f'{published}:conv1_1 rising/01-conv1/train.log')
    assert 'loss, first to last fifth: both rise (' in said
