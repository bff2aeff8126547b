"""CelebA's identity file: the most photographed people, dense labels, a split that repeats, clear refusals."""

import subprocess
import sys

import pytest
from repository import ROOT
from sphereslim.errors import SlimError
from sphereslim.facedata.lists.celeba import most_photographed, read_people, split


@pytest.fixture
def identities(tmp_path):
    path = tmp_path / 'identity.txt'
    counts = {7: 3, 2: 10, 9: 10, 4: 20, 5: 2}
    lines = [f'{identity:03d}_{i:03d}.jpg {identity}' for i in range(20) for identity, n in counts.items() if i < n]
    path.write_text('\n'.join(lines) + '\n')
    return path


def test_most_photographed_first_and_ties_by_number(identities):
    people = read_people(identities)
    assert most_photographed(people, 4) == [4, 2, 9, 7]
    with pytest.raises(SlimError, match='6 people: expected 1 to 5'):
        most_photographed(people, 6)


def test_split_is_disjoint_whole_seeded_and_has_everybody_twice(identities):
    people = read_people(identities)
    train, val = split(people, [4, 2, 7], 0.2, 1)
    assert len(train) + len(val) == 33 and not set(train) & set(val)
    assert {line.split()[1] for line in train} == {line.split()[1] for line in val} == {'0', '1', '2'}
    assert len([line for line in val if line.endswith(' 0\n')]) == 4
    assert (train, val) == split(people, [4, 2, 7], 0.2, 1)
    assert val != split(people, [4, 2, 7], 0.2, 2)[1]


def test_more_people_do_not_change_the_split_of_the_others(identities):
    people = read_people(identities)
    assert set(split(people, [4], 0.3, 1)[1]) <= set(split(people, [4, 2], 0.3, 1)[1])


@pytest.mark.parametrize('text, message', [('', 'is empty'), ('a.jpg\n', r":1: 'a.jpg', expected `picture identity`")])
def test_bad_identity_files(tmp_path, text, message):
    (tmp_path / 'bad.txt').write_text(text)
    with pytest.raises(SlimError, match=message):
        read_people(tmp_path / 'bad.txt')


def test_command(identities, tmp_path):
    command = [sys.executable, ROOT / 'preprocess/list_celeba.py', identities, '--out', tmp_path / 'lists']
    done = subprocess.run([*command, '--people', '3'], capture_output=True, text=True)
    assert done.returncode == 0 and 'of 3 people with 10 or more pictures' in done.stdout
    assert len((tmp_path / 'lists/train.txt').read_text().splitlines()) == 36
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith('error: 2360 people') and done.stderr.count('\n') == 1
