"""What is installed is complete, and nothing but the installation decides where the code is found."""

import re

import sphereslim
from repository import ROOT

PACKAGE = ROOT / 'python' / 'sphereslim'


def project():
    text = (ROOT / 'python' / 'pyproject.toml').read_text()
    return text


def test_the_version_is_that_of_the_package():
    assert f'\nversion = "{sphereslim.__version__}"\n' in project()


def test_every_file_of_the_package_is_installed_with_it():
    patterns = re.findall(r'"([^"]+)"', project().split('[tool.setuptools.package-data]')[1])
    installed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    others = {path for path in PACKAGE.rglob('*') if path.is_file() and path.suffix not in ('.py', '.pyc')}
    assert others == installed


def test_no_script_says_where_the_code_lies():
    folders = ('python', 'preprocess', 'prototxt', 'tools')
    files = [ROOT / 'run_all.sh', *(path for folder in folders for path in (ROOT / folder).rglob('*.py'))]
    edits = re.compile(
        r'^\s*(import runpy|from runpy|.*\brunpy\.|.*\bsys\.path(\.insert|\.append|\.extend|\[.*\]\s*=|\s*=|\s*\+=))'
    )
    allowed = {ROOT / 'python/sphereslim/engine.py'}  # which finds the genuine Caffe that CAFFE_ROOT names
    found = [path for path in files if path not in allowed and any(map(edits.match, path.read_text().splitlines()))]
    assert not found
