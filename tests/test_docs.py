"""What the pages name is there."""

import re

import pytest
from repository import ROOT
from sphereslim.commands.program import find_command

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
