"""A reader's first hour: each page's every block, in order, in a fresh clone, with few faces and iterations."""

import re
import tempfile

import pytest
from quick_python import quick_python
from repository import ROOT
from walking import PACKAGES, Walk, git, small_repository

LOADED = ('caffe.cli.main', 'sphereslim.commands.program', 'sphereslim.api', 'matplotlib.pyplot', 'skimage.transform')
FEW_PAIRS = {'make-pairs work/aligned': 'make-pairs work/aligned --people 6 --folds 2 --per-fold 3'}
README = {
    '<this repository>': '"$SOURCE"',
    '<it>': 'faces',
    '=/faces/': '=data/faces/',
    'sphereslim detect photos --out': 'cp -r data/faces/raw photos; cp data/faces/landmarks.txt',
    'max_iter: 60': 'max_iter: 2',
    '_iter_60.': '_iter_2.',
    **FEW_PAIRS,
}


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    if not (ROOT / '.git').exists():
        pytest.skip('needs a checkout of git')
    folder = tmp_path_factory.mktemp('source') / 'faces'
    small_repository(folder)
    return folder


@pytest.fixture(scope='module')
def reader(source):
    """A function (folder) -> Walk."""
    path = ':'.join(str(source / package) for package in PACKAGES)
    with tempfile.TemporaryDirectory() as folder, quick_python(folder, LOADED, path) as command:
        yield lambda folder: Walk(folder, source, command)


def test_every_block_of_the_readme_runs(reader, tmp_path):
    page = ROOT / 'README.md'
    walk = reader(tmp_path)
    printed = walk.walk(page, README)
    for title in ('before', 'pruned', 'refitted'):  # what the example in Python prints
        assert re.search(rf'^{title} \d+\.\d+$', printed, re.M)
    assert re.search(r'^by-hand/train.log .* loss +identical', printed, re.M)  # the stage by hand is the run's
    named = re.findall(r'`(work/[^`]+)`', page.read_text())
    assert named and not [path for path in named if not (walk.home / 'faces' / path).exists()]
    assert git('status', '--porcelain', folder=walk.home / 'faces') == '?? photos/\n', 'written beside data/ and work/'


def test_a_block_that_fails_is_named_and_so_is_a_stand_in_that_nothing_needs(reader, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('Words\n\n    here=1\n\n    test $here = 1\n\nmore\n\n```sh\ntest $here = 2\n```\n')
    walk = reader(tmp_path / 'walk')
    with pytest.raises(AssertionError, match='page.md:10: this block fails. Where it needs the network'):
        walk.walk(page, {})
    with pytest.raises(AssertionError, match="no longer holds {'there'}"):
        walk.walk(page, {'here': 'x', 'there': 'y'})
    page.write_text('```text\nwhat it prints\n```\n')
    with pytest.raises(AssertionError, match='a block of kind "text", expected sh, python'):
        walk.walk(page, {})
