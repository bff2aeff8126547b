"""Several folders of people become one set, without those who are tested on or who are in it twice."""

import json

import cv2
import numpy as np
import pytest
from sphereslim.data.pairs import read_pairs
from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.facedata.lists.look_alikes import centres, look_alikes
from sphereslim.facedata.lists.merge import Person, Rules, Source, choose

COUNTS = {'own': {'Ada': 4, 'Bo': 4, 'Cy': 1}, 'more': {'Ada': 5, 'Di': 6, 'Ed': 3}}


@pytest.fixture
def work(tmp_path):
    """Two folders of people, one of pictures with a list of who is in them, and pairs of Ada and Cy."""
    for number, (folder, people) in enumerate(COUNTS.items()):
        for person, count in people.items():
            (tmp_path / folder / person).mkdir(parents=True)
            for picture in range(1, count + 1):
                _write(tmp_path / folder / person / f'{person}_{picture:04d}.png', 10 * number + picture)
    (tmp_path / 'loose').mkdir()
    for picture in range(4):
        _write(tmp_path / 'loose' / f'{picture}.png', 200 + picture)
    (tmp_path / 'identity.txt').write_text(''.join(f'{picture}.png 7\n' for picture in range(4)))
    (tmp_path / 'pairs.txt').write_text('1\nAda 1 2\nAda 1 Cy 1\n')
    return tmp_path


def _write(path, value):
    cv2.imwrite(str(path), np.full((112, 96, 3), value, np.uint8))


WORDS = 'own --with more=more --with loose=loose,identity.txt --pairs pairs.txt --out set'


def test_people_are_merged_under_names_that_tell_their_folder(work, run):
    said = run('merge_faces', WORDS)
    assert sorted(path.name for path in (work / 'set').iterdir()) == [
        'Ada',
        'Bo',
        'Cy',
        'loose_7',
        'merged.json',
        'more_Di',
    ]
    assert (work / 'set/more_Di/Di_0003.png').read_bytes() == (work / 'more/Di/Di_0003.png').read_bytes()
    assert said.splitlines() == [
        'set: 14 pictures of 3 people to train on',
        '  faces: 4 pictures of 1 people, and 2 people of the pairs',
        '  more: 6 pictures of 1 people',
        '  loose: 4 pictures of 1 people',
        '  left out: 1 people, in pairs that are tested',
        '  left out: 1 people, too few pictures',
    ]
    page = json.loads((work / 'set/merged.json').read_text())
    assert page['left out'] == {'more_Ada': 'in pairs that are tested', 'more_Ed': 'too few pictures'}


def test_nobody_of_the_pairs_is_trained_on(work, run):
    run('merge_faces', WORDS)
    run('prepare_faces', 'set --pairs pairs.txt --out prepared')
    trained = {line.partition('/')[0] for line in (work / 'prepared/train.txt').read_text().splitlines()}
    assert trained == {'Bo', 'loose_7', 'more_Di'}


def test_no_person_outweighs_the_others(work, run):
    run('merge_faces', f'{WORDS} --max-pictures 4')
    assert len(list((work / 'set/more_Di').iterdir())) == 4
    rules = Rules((work / 'pairs.txt',), max_pictures=4)

    def drawn(seed):
        merged = choose([Source('own', work / 'own'), Source('more', work / 'more')], Rules(rules.tested, 4, 4, seed))
        return next(person.pictures for person in merged.taken if person.folder == 'more_Di')

    assert drawn(0) == drawn(0) and len({tuple(drawn(seed)) for seed in range(8)}) > 1


def test_merging_again_keeps_what_is_there_and_refuses_other_settings(work, run):
    run('merge_faces', WORDS)
    made = {path: path.stat().st_mtime_ns for path in (work / 'set').rglob('*.png')}
    assert run('merge_faces', WORDS) and made == {
        path: path.stat().st_mtime_ns for path in (work / 'set').rglob('*.png')
    }
    for words, message in (
        (f'{WORDS} --max-pictures 4', 'error: set: made with other settings (merged.json)'),
        (WORDS.replace('--out set', '--out own'), 'error: own: holds other files'),
        (WORDS.replace('more=more', 'loose=more'), 'error: two sources are named loose'),
        (
            f'{WORDS} --min-pictures 9',
            'error: nobody is left to train on (people left out: 4 too few pictures, 1 in pairs that are tested)',
        ),
        (WORDS.replace('more=more', 'more=none'), 'error: none: no such folder'),
    ):
        with pytest.raises(SystemExit) as end:
            run('merge_faces', words)
        assert str(end.value.code).startswith(message)


def test_a_person_who_looks_like_one_before_is_left_out():
    source = Source('faces', None)
    people = [
        Person(source, name, ['1'] * count, tested)
        for name, count, tested in (('tested', 2, True), ('twin', 1, False), ('new', 2, False), ('again', 1, False))
    ]
    features = np.array([[2, 0, 0], [1, 0.1, 0], [1, 0, 0.1], [0, 1, 0], [0, 3, 0.2], [0, 1, 0.1]])
    directions = centres(features, [len(person.pictures) for person in people])
    assert np.allclose(np.linalg.norm(directions, axis=1), 1)
    assert {who: why.partition(', ')[0] for who, why in look_alikes(people, directions, 0.9).items()} == {
        'twin': 'looks like somebody else of the set: tested',
        'again': 'looks like somebody else of the set: new',
    }
    assert look_alikes(people, directions, 1.1) == {}


def test_the_model_finds_people_by_their_pictures(work, run):
    (work / 'net.prototxt').write_text(
        'input: "data" input_shape { dim: 1 dim: 3 dim: 112 dim: 96 }\n'
        'layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" '
        'pooling_param { pool: AVE global_pooling: true } }\n'
    )
    net = caffe_pb2.NetParameter()
    net.layer.add(name='pool', type='Pooling')
    (work / 'net.caffemodel').write_bytes(net.SerializeToString())
    said = run('merge_faces', f'{WORDS} --model net.prototxt net.caffemodel')
    # dark pictures have one direction, the bright ones of `loose` the other
    assert 'set: 4 pictures of 1 people to train on' in said
    assert 'left out: 2 people, looks like somebody else of the set' in said
    with pytest.raises(SystemExit, match='nobody is left to train on .*looks like somebody else'):
        run('merge_faces', 'own --pairs pairs.txt --model net.prototxt net.caffemodel --out dark')


def test_sources_are_read_as_name_and_folder(work, run):
    for words in ('more', '=more', 'a/b=more', 'more='):
        with pytest.raises(SystemExit) as end:
            run('merge_faces', f'own --with {words} --pairs pairs.txt --out set')
        assert end.value.code == 2
    with pytest.raises(SlimError, match='names none of the 4 pictures'):
        (work / 'identity.txt').write_text('other.png 1\n')
        choose([Source('own', work / 'own'), Source('l', work / 'loose', work / 'identity.txt')], Rules(()))


@pytest.fixture
def two_tests(work):
    """Pairs of two folds over `own`, and of two smaller folds over `more`."""
    own = ['Ada 1 2', 'Ada 3 4', 'Ada 1 Cy 1', 'Ada 2 Cy 1', 'Bo 1 2', 'Bo 3 4', 'Bo 1 Cy 1', 'Bo 2 Cy 1']
    (work / 'own.txt').write_text('\n'.join(['2 2', *own, '']))
    (work / 'more.txt').write_text('2 1\nAda 1 5\nAda 2 Ed 1\nDi 1 2\nDi 3 Ed 3\n')
    return work


def test_folds_of_several_sources_become_one_file_of_pairs(two_tests, run):
    said = run('merge_faces', 'own --with more=more --verify own.txt:1 --verify more=more.txt:2 --out set')
    assert (two_tests / 'set/pairs.txt').read_text() == (
        '2\t1\nAda\t1\t2\nAda\t1\tCy\t1\nmore_Di\t1\t2\nmore_Di\t3\tmore_Ed\t3\n'
    )
    assert len(read_pairs(two_tests / 'set/pairs.txt', two_tests / 'set').pictures) == 7
    # Bo is in the other fold of `own`; Ada of `more` bears the name of somebody who is tested on
    assert 'set: 4 pictures of 1 people to train on' in said
    assert 'faces: 4 pictures of 1 people, and 2 people of the pairs' in said
    assert json.loads((two_tests / 'set/merged.json').read_text())['left out'] == {
        'more_Ada': 'in pairs that are tested'
    }
    run('prepare_faces', 'set --pairs set/pairs.txt --out prepared')
    assert {line.partition('/')[0] for line in (two_tests / 'prepared/train.txt').read_text().splitlines()} == {'Bo'}


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('--verify own.txt:3', 'error: own.txt: has 2 folds, not 3'),
        ('--verify none=own.txt', 'error: pairs of none: no such source, expected one of: faces'),
        ('--verify own.txt --verify faces=own.txt', 'error: --verify: pairs of faces twice'),
        ('', 'error: expected --pairs or --verify'),
    ],
)
def test_pairs_to_verify_on_that_do_not_fit_are_refused(two_tests, run, words, message):
    with pytest.raises(SystemExit) as end:
        run('merge_faces', f'own {words} --out set')
    assert str(end.value.code).startswith(message)
    assert not (two_tests / 'set').exists()
