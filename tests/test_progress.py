"""Progress bars: moving on a terminal, a few lines in a file."""

import io
import subprocess
import sys
import time

import pytest
from repository import ROOT
from sphereslim import progress
from sphereslim.progress import bar


class Terminal(io.StringIO):
    """What claims to be looked at."""

    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """A function (stream) that puts a stream in the place of stderr."""

    def put(stream):
        monkeypatch.setattr(sys, 'stderr', stream)
        return stream

    return put


def go(number, seconds=0.0, **how):
    for _ in bar(range(number), 'working', **how):
        time.sleep(seconds)


def test_a_bar_moves_on_a_terminal(shown):
    stream = shown(Terminal())
    go(4, 0.11)
    assert stream.getvalue().count('\r') >= 4


def test_in_a_file_it_is_its_beginning_and_its_end(shown):
    stream = shown(io.StringIO())
    go(1000, 0.0002)
    first, last = stream.getvalue().splitlines()
    assert first.startswith('working:   0%') and last.startswith('working: 100%') and '\r' not in stream.getvalue()


def test_in_a_file_a_long_one_tells_now_and_then(shown, monkeypatch):
    monkeypatch.setattr(progress, '_SECONDS', 0.1)
    stream, start = shown(io.StringIO()), time.monotonic()
    go(60, 0.01)
    assert 3 <= len(stream.getvalue().splitlines()) <= 3 + (time.monotonic() - start) / 0.1


def test_in_a_file_a_passing_one_tells_nothing_unless_it_lasts(shown, monkeypatch):
    stream = shown(io.StringIO())
    go(100, leave=False)
    assert not stream.getvalue()
    monkeypatch.setattr(progress, '_SECONDS', 0.1)
    go(30, 0.01, leave=False)
    assert stream.getvalue()


def test_a_command_leaves_no_carriage_returns_in_a_file(tmp_path):
    words = (
        f'{ROOT}/preprocess/make_faces.py --out {tmp_path}/faces --people 9 --per-person 1 --test-people 2 '
        '--test-per-person 2 --folds 1 --per-fold 1 --workers 1'
    )
    with open(tmp_path / 'told', 'wb') as told:
        subprocess.run([sys.executable, *words.split()], stderr=told, check=True, stdout=subprocess.DEVNULL)
    text = (tmp_path / 'told').read_text()
    assert '\r' not in text and 2 <= len(text.splitlines()) <= 12 and 'rendering: 100%' in text
