"""Pairs drawn from one's own faces, which are named as docs/your-own-faces.md names them."""

import re
import subprocess

import pytest
from repository import ROOT
from sphereslim.commands.facedata.detect import tell_loose
from sphereslim.data.pairs import people_of, read_pairs


@pytest.fixture
def work(tmp_path):
    """Six people with five photos each, named as cameras do, and one with a single photo."""
    for person in ('Ada', 'Bo', 'Cy_D', 'Di', 'Ed', 'Flo'):
        (tmp_path / 'photos' / person).mkdir(parents=True)
        for number in range(5):
            (tmp_path / 'photos' / person / f'IMG {number}.jpg').touch()
    (tmp_path / 'photos' / 'Gus').mkdir()
    (tmp_path / 'photos' / 'Gus' / 'one.jpg').touch()
    return tmp_path


def number(work):
    """Name the photos by the page's own lines."""
    page = (ROOT / 'docs' / 'your-own-faces.md').read_text()
    (lines,) = re.findall(r'^```sh\n(for person.*?)^```', page, re.M | re.S)
    subprocess.run(['bash', '-euc', lines], cwd=work, check=True)


def test_photos_numbered_as_the_page_does_give_pairs_that_are_read(work, run):
    number(work)
    said = run('make_pairs', 'photos --people 4 --folds 2 --per-fold 3 --out pairs.txt')
    assert (
        said
        == 'pairs.txt: 2 folds of 3 matched and as many mismatched pairs of 4 people; 3 others are left to train on\n'
    )
    pairs = read_pairs('pairs.txt', 'photos')
    assert len(pairs.same) == 12 and pairs.same.sum() == 6 and pairs.fold.max() == 1
    assert 'Gus' not in people_of('pairs.txt')
    first = (work / 'pairs.txt').read_bytes()
    run('make_pairs', 'photos --people 4 --folds 2 --per-fold 3 --out pairs.txt')
    assert (work / 'pairs.txt').read_bytes() == first


def test_photos_with_other_names_are_told(run):
    with pytest.raises(
        SystemExit, match='photos: 0 of 7 people have 4 pictures named <person>/<person>_0001.jpg and so on'
    ):
        run('make_pairs', 'photos --out pairs.txt')


def test_photos_in_no_folder_of_a_person_are_told(work, capsys):
    tell_loose(str(work / 'photos'))
    assert not capsys.readouterr().err
    (work / 'photos' / 'loose.jpg').touch()
    tell_loose(str(work / 'photos'))
    assert (
        'photos: 1 of 32 pictures lie in no folder of a person, the first being loose.jpg;' in capsys.readouterr().err
    )
