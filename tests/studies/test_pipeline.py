"""The pipeline goes on from wherever it was stopped, and its networks are those of a run that never was."""

import os

import pytest
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
