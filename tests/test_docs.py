"""What the pages name is there, and the README's example runs as it is written."""

import re
import subprocess
import sys

import numpy as np
import pytest
import sphereslim as slim
from masking import randomize
from repository import ROOT
from sphereslim.commands.program import find_command
from sphereslim.net.opened import open_net, weights_of
from sphereslim.rewrite.scaled import scaled_folder
from tiny_run import write_run

PAGES = [
    *ROOT.glob('*.md'),
    *ROOT.glob('docs/*.md'),
    ROOT / 'prototxt' / 'README.md',
    ROOT / 'caffe-sphereface' / 'README.md',
]
OWN_WORDS = re.compile(r'`[^`\n]+`|^```.*?^```|^    .*$', re.M | re.S)
FOLDERS = '|'.join(('caffe-sphereface', 'docs', 'preprocess', 'prototxt', 'published', 'python', 'tests', 'tools'))
IN_A_BUILD_OF_CAFFE = 'python/caffe/|tools/extra/'
PATH = re.compile(rf'(?<![\w/$.}}-])(?!{IN_A_BUILD_OF_CAFFE})(?:{FOLDERS})/[\w./-]*\w')
COMMAND = re.compile(r'(?:^ *|`)(?:\w+=\S+ )*sphereslim ([a-z][\w-]*)', re.M)
RECIPE = re.compile(r'^## Add a .*?(?=^## |\Z)', re.M | re.S)  # of things that are not there yet


@pytest.fixture(params=PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def page(request):
    return request.param


def test_every_link_leads_to_a_file(page):
    links = re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_path_into_the_repository_is_there(page):
    text = RECIPE.sub('', page.read_text())
    named = {path for words in OWN_WORDS.findall(text) for path in PATH.findall(words)}
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_command_is_one_of_sphereslim(page):
    for name in COMMAND.findall(RECIPE.sub('', page.read_text())):
        find_command(name)


def test_the_example_of_the_readme_runs(tmp_path):
    (example,) = re.findall(r'^```python\n(.*?)^```', (ROOT / 'README.md').read_text(), re.M | re.S)
    base = tmp_path / 'work' / 'sphereface-4' / '00-base'
    scaled_folder(ROOT / 'prototxt' / 'sphereface-4', base, 0.125)
    net = open_net(slim.read_net(base / 'deploy.prototxt'))
    randomize(net, np.random.default_rng(0))
    slim.write_weights(base / 'final.caffemodel', weights_of(net))
    write_run(tmp_path / 'tiny')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'faces').symlink_to(tmp_path / 'tiny' / 'faces')
    done = subprocess.run([sys.executable, '-c', example], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r'^conv1_1 \d+ can be pruned$', done.stdout, re.M)
    assert len(re.findall(r'^(?:before|pruned|refitted) \d+\.\d+$', done.stdout, re.M)) == 3
    before, after = (
        path.stat().st_size for path in (base / 'final.caffemodel', tmp_path / 'work' / 'small.caffemodel')
    )
    assert after < before and (tmp_path / 'work' / 'small.prototxt').exists()
