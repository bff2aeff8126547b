"""Fixtures that several files share, and the layers in int8 where the installed package does not name them yet."""

import os
import sys
import tempfile
from importlib import import_module, metadata

import pytest
from quick_python import quick_python
from repository import ROOT
from sphereslim.commands.ending import run_command
from sphereslim.commands.program import find_command

if not metadata.entry_points(group='caffe.layers', name='int8'):
    os.environ.setdefault('CAFFE_LAYERS', str(ROOT / 'python' / 'sphereslim' / 'layers' / 'int8.py'))


@pytest.fixture(scope='session')
def quick_command():
    """The path of a `caffe` command that needs no time to load."""
    with tempfile.TemporaryDirectory() as folder, quick_python(folder) as command:
        yield command(f'{folder}/caffe', '-m', 'caffe')


@pytest.fixture
def quick_caffe(quick_command, monkeypatch):
    """Lets the workflow's trainings and timings start at once."""
    for user in ('training.caffe_train', 'evaluation.speed'):
        monkeypatch.setattr(f'sphereslim.{user}.caffe_command', lambda: [quick_command])


@pytest.fixture
def run(work, monkeypatch, capsys):
    """A function (command or tool, arguments) -> what it printed, run in the folder `work`; SystemExit carries the one
    line of a bad request. `run.notes` is then what it noted on stderr, a list of lines."""
    monkeypatch.chdir(work)

    def call(command, words):
        words = [command, *words.split()]
        monkeypatch.setattr(sys, 'argv', words)
        try:
            is_tool = (ROOT / 'tools' / f'{command}.py').exists()
            run_command(import_module(command).main if is_tool else lambda: find_command(command).run(words[1:]))
        except SystemExit as end:
            if end.code:
                raise
        captured = capsys.readouterr()
        call.notes = [line for line in captured.err.splitlines() if line.startswith('note: ')]
        return captured.out

    return call
