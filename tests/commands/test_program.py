"""The `sphereslim` program and the scripts beside it: what there is, told without loading it, and how it ends."""

import os
import subprocess
import sys

import pytest
from repository import ROOT
from sphereslim import checkout
from sphereslim.commands.program import ROOMS, find_command, find_commands, overview
from sphereslim.errors import SlimError

NAMES = [command.name for room in ROOMS for command in find_commands(room)]

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 4 kernel_size: 3 } }
"""


def program(*words, **how):
    return subprocess.run([sys.executable, '-m', 'sphereslim', *words], capture_output=True, text=True, **how)


def test_help_lists_every_command_on_one_line_and_loads_none():
    loaded = 'import sys; from sphereslim.commands.program import overview; overview(); print(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', loaded], capture_output=True, text=True, check=True)
    assert not {'numpy', 'torch', 'caffe', 'matplotlib'} & set(done.stdout.split())
    lines = [line.split()[0] for line in overview().splitlines() if line.startswith('  ')]
    assert lines == NAMES and {'prune', 'select-filters', 'quantize', 'study'} <= set(lines)


def test_every_script_is_the_command_of_its_name():
    scripts = sorted([*ROOT.glob('python/*.py'), *ROOT.glob('preprocess/*.py')])
    assert {path.stem.replace('_', '-') for path in scripts} == set(NAMES)
    assert all(path.read_text() == scripts[0].read_text() for path in scripts)


@pytest.mark.parametrize('name', NAMES)
def test_every_command_takes_arguments_and_begins_its_help_with_a_sentence(name):
    command = find_command(name)
    assert command.doc.splitlines()[0].endswith(('.', ',')) or '. ' in command.doc
    with pytest.raises(SystemExit) as end:
        command.parse(['--help'])
    assert not end.value.code


def test_a_wrong_name_is_told_with_the_nearest_one():
    done = program('prun')
    assert done.returncode == 1 and done.stderr == "error: there is no command 'prun'; did you mean prune?\n"
    assert find_command('select_filters') == find_command('select-filters')


def test_a_wrong_file_ends_in_one_line_and_status_1(tmp_path):
    done = program('groups', 'none.prototxt', cwd=tmp_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and 'none.prototxt' in done.stderr


def test_what_is_in_no_checkout_is_told_as_such(monkeypatch, tmp_path):
    assert checkout.checkout('prototxt/vgg16') == ROOT
    monkeypatch.setattr(checkout, '_PACKAGE', tmp_path / 'lib' / 'python' / 'sphereslim')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SlimError, match="prototxt/vgg16: not there; it is part of the project's checkout"):
        checkout.checkout('prototxt/vgg16')


@pytest.mark.parametrize('words, is_quiet', [((), True), (('-v',), False)])
def test_the_engine_is_silent_unless_asked(tmp_path, words, is_quiet):
    (tmp_path / 'net.prototxt').write_text(NET)
    environment = {name: value for name, value in os.environ.items() if name != 'GLOG_minloglevel'}
    done = program('substitute', 'net.prototxt', '--shrink', '--out', 'small', *words, cwd=tmp_path, env=environment)
    assert done.returncode == 0 and (done.stderr == '') is is_quiet, done.stderr
