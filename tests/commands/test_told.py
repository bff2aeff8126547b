"""What could be meant otherwise than it is taken is told in a note, or refused."""

import json

import cv2
import numpy as np
import pytest
from masking import randomize
from sphereslim.files import write_bytes
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import read_net
from tiny_run import write_run

NET = 'net/deploy.prototxt tiny.caffemodel'


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('told')
    write_run(folder)
    net = open_net(read_net(folder / 'net' / 'deploy.prototxt'))
    randomize(net, np.random.default_rng(0))
    write_bytes(folder / 'tiny.caffemodel', weights_of(net).SerializeToString())
    whole = (folder / 'faces/aligned/P_0/P_0_0001.jpg').read_bytes()
    for name, content in (('cut.jpg', whole[:-20]), ('none.jpg', b'')):
        (folder / name.removesuffix('.jpg')).mkdir()
        (folder / name.removesuffix('.jpg') / name).write_bytes(content)
    (folder / 'large').mkdir()
    cv2.imwrite(str(folder / 'large' / 'photo.png'), np.zeros((200, 300, 3), np.uint8))
    (folder / 'one.txt').write_text(
        '\n'.join((folder / 'faces/pairs.txt').read_text().splitlines()[:7]).replace('2\t', '1\t', 1)
    )
    return folder


@pytest.mark.parametrize('folder, told', [('cut', 'cut/cut.jpg: is cut short'), ('none', 'none/none.jpg: is empty')])
@pytest.mark.parametrize(
    'command, words',
    [
        ('recalibrate', f'{NET} --out r.caffemodel --count 1 --images'),
        ('quantize', 'sweep tiny.caffemodel --out sweep --deploy net/deploy.prototxt --bits 4 --images'),
    ],
)
def test_a_broken_picture_is_refused_by_name(run, folder, told, command, words):
    with pytest.raises(SystemExit) as end:
        run(command, f'{words} {folder}')
    assert end.value.code == f'error: {told}'


def test_fewer_pictures_than_asked_for_and_larger_ones_are_told(run):
    run('recalibrate', f'{NET} --out r.caffemodel --count 5 --images large')
    assert run.notes == [
        'note: large: too few pictures for 5, 1 are taken',
        'note: large/photo.png: is 300x200; of such pictures the 96x112 in the centre are taken (--crop resize takes '
        'the whole)',
    ]


def test_nothing_is_told_where_all_is_as_asked(run):
    run('recalibrate', f'{NET} --out r.caffemodel --count 4 --images faces/aligned')
    assert not run.notes


def test_one_fold_is_no_estimate_and_few_pairs_say_little(work, run):
    shown = run('evaluate_lfw', f'{NET} --pairs one.txt --pictures faces/aligned --no-cache --json one.json')
    assert '% (one fold, judged by the threshold that suits it best: no estimate' in shown and '+-' not in shown
    assert shown.splitlines()[-1].startswith('input    BGR (RGB with --rgb), (x - 127.5) x 0.0078125, crop centre')
    (note,) = run.notes
    assert note.startswith('note: 6 pairs are few: accuracy and EER move in steps of 17 %')
    assert json.loads((work / 'one.json').read_text())['input']['rgb'] is False
    shown = run('evaluate_lfw', f'{NET} --pairs faces/pairs.txt --pictures faces/aligned --no-cache --rgb')
    assert '(mean, standard error of 2 folds)' in shown and 'input    RGB (BGR without --rgb)' in shown


@pytest.mark.parametrize(
    'words',
    ['select_filters {} --layers conv1', 'recalibrate {} --out r.caffemodel'],
    ids=lambda words: words.split()[0],
)
def test_pictures_for_a_net_that_reads_its_own_are_refused(run, words):
    command, rest = words.split(' ', 1)
    with pytest.raises(SystemExit, match='net/train.prototxt: reads data of its own, not the pictures of --images'):
        run(command, rest.format('net/train.prototxt tiny.caffemodel') + ' --images faces/aligned')


def test_a_shorter_embedding_is_told(run):
    words = 'net/train.prototxt tiny.caffemodel --criterion l1 --out s.json --layers'
    run('select_filters', f'{words} fc5')
    (note,) = run.notes
    assert note.startswith("note: layer 'fc5' makes what the classifier 'fc6' reads")
    run('select_filters', f'{words} conv1')
    assert not run.notes


def test_pictures_that_a_criterion_does_not_look_at_are_told(work, run):
    words = f'{NET} --layers conv1 --rate 0.5 --out s.json --criterion'
    run('select_filters', f'{words} l1 --images faces/aligned')
    assert run.notes == ['note: the criterion l1 looks at no pictures, --images is not used']
    run('select_filters', f'{words} l1')
    assert not run.notes
