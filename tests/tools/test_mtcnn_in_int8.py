"""tools/mtcnn_in_int8.py with the published weights on a few pictures."""

import os
from pathlib import Path

import mtcnn_in_int8
import pytest
from repository import ROOT

SHARED = Path(os.environ.get('SHARED', ROOT.parent / 'shared')) / 'data'
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f'{SHARED} is not there')


@pytest.mark.parametrize('reader', ['onnxruntime', 'ncnn'])
def test_faces_are_found_again_in_int8(reader, monkeypatch, capsys):
    faces = SHARED / 'orl'
    words = [SHARED / 'mtcnn', faces / 's1', faces / 's2', '--calibrate', faces / 's3', '--count', '4', '--most', '6']
    monkeypatch.setattr('sys.argv', ['mtcnn_in_int8', *map(str, words), '--reader', reader])
    mtcnn_in_int8.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:6] for row in rows] == [[str(faces / name), '6', '6', '6', '6', '6'] for name in ('s1', 's2')]
    assert all(row[6] == '(100.00%)' and float(row[7]) > 0.85 for row in rows)
