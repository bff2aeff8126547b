"""The recipes of CONTRIBUTING.md, each followed to the letter in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

PAGE = (ROOT / 'CONTRIBUTING.md').read_text()
BLOCK = re.compile(r'^```(python|proto|prototxt|sh)\n(.*?)^```$', re.M | re.S)
RECIPES = dict(re.findall(r'^## (Add a [\w ]+)\n(.*?)(?=^## |\Z)', PAGE, re.M | re.S))
PARTS = (
    'caffe-sphereface',
    'python',
    'preprocess',
    'prototxt',
    'published',
    'tests',
    'tools',
    'pytest.ini',
    'ruff.toml',
)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The parts of the repository that a recipe touches, in a folder whose packages come first."""
    leave = shutil.ignore_patterns('__pycache__', '*.egg-info', '.*_cache', 'build')
    for part in PARTS:
        if (ROOT / part).is_symlink():
            (tmp_path / part).symlink_to(os.readlink(ROOT / part))
        elif (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part, symlinks=True, ignore=leave)
        else:
            shutil.copy(ROOT / part, tmp_path)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}/caffe-sphereface{os.pathsep}{tmp_path}/python')
    return tmp_path


def shell(command, folder):
    """What a command prints; `caffe`, `sphereslim`, `pytest` and `python` are those of the tests' own Python."""
    programs = ''.join(f'{name}() {{ "$PYTHON" -m {name} "$@"; }}\n' for name in ('caffe', 'sphereslim', 'pytest'))
    script = f'set -eo pipefail\n{programs}python() {{ "$PYTHON" "$@"; }}\n{command}'
    environment = {**os.environ, 'PYTHON': sys.executable}
    done = subprocess.run(['bash', '-c', script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f'{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}'
    return done.stdout


def test_there_are_four_recipes():
    assert list(RECIPES) == ['Add a layer', 'Add a layer of your own', 'Add a criterion', 'Add a command']


@pytest.mark.parametrize('title', RECIPES)
def test_a_recipe_works_as_it_is_written(title, copy):
    written, ran = [], ''
    for kind, content in BLOCK.findall(RECIPES[title]):
        if kind == 'sh':
            ran += shell(content, copy)
            continue
        first, rest = content.split('\n', 1)
        path = Path(copy, first.removeprefix('# ').removeprefix('// '))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest)
        written += [str(path.relative_to(copy))] if kind == 'python' else []
    assert written and ' passed' in ran
    for check in ('check', 'format --check'):
        shell(f'python -m ruff {check} {" ".join(written)}', copy)
