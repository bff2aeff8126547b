import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from repository import ROOT
from sphereslim.data.lists import open_faces
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment.crop import crop
from sphereslim.facedata.lists.prepare import prepare
from sphereslim.facedata.lists.training_list import by_identity, choose

WIDE = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def run(script, *words):
    return subprocess.run(
        [sys.executable, ROOT / 'preprocess' / script, *map(str, words)], capture_output=True, text=True
    )


def tree(folder, counts, image=WIDE):
    """A folder per person of `counts` with as many pictures."""
    for person, count in counts.items():
        (folder / person).mkdir(parents=True)
        for number in range(1, count + 1):
            cv2.imwrite(str(folder / person / f'{person}_{number:04d}.png'), image)
    return folder


@pytest.fixture
def faces(tmp_path):
    folder = tree(tmp_path / 'faces', {'Ada': 4, 'Bo': 3, 'Cy': 5, 'Di': 4, 'Ed': 2})
    (tmp_path / 'pairs.txt').write_text('1\nCy 1 2\nCy 3 Ed 1\n')
    return folder


def test_casia_leaves_out_the_three_people_of_lfw(tmp_path):
    published = json.loads((ROOT / 'published' / 'sphereface_plus.json').read_text())['training']
    out = published['excluded_identities_also_in_LFW']
    folder = tree(tmp_path / 'casia', {**dict.fromkeys(out, 2), '0000045': 2, '9999999': 1})
    told = run('make_list.py', folder, '--casia', '--out', tmp_path / 'list.txt')
    assert told.returncode == 0, told.stderr
    assert (tmp_path / 'list.txt').read_text() == (
        '0000045/0000045_0001.png 0\n0000045/0000045_0002.png 0\n9999999/9999999_0001.png 1\n'
    )
    assert '3 people left out' in told.stdout


def test_people_of_the_pairs_and_of_few_pictures_are_left_out(faces, tmp_path):
    told = run(
        'make_list.py', faces, '--pairs', tmp_path / 'pairs.txt', '--min-pictures', 4, '--out', tmp_path / 'l.txt'
    )
    assert told.returncode == 0, told.stderr
    lines = (tmp_path / 'l.txt').read_text().splitlines()
    assert lines == [
        f'{name}/{name}_000{k}.png {label}' for label, name in enumerate(['Ada', 'Di']) for k in (1, 2, 3, 4)
    ]


def test_celeba_by_identity_file(tmp_path):
    for name in ('000001.jpg', '000002.jpg', '000003.jpg', '000009.jpg'):
        cv2.imwrite(str(tmp_path / name), WIDE)
    (tmp_path / 'identity.txt').write_text('000001.jpg 2880\n000002.jpg 7\n000003.jpg 2880\n000004.jpg 5\n')
    told = run('make_list.py', tmp_path, '--identities', tmp_path / 'identity.txt', '--out', tmp_path / 'l.txt')
    assert told.returncode == 0, told.stderr
    assert (tmp_path / 'l.txt').read_text() == '000002.jpg 0\n000001.jpg 1\n000003.jpg 1\n'
    assert '1 pictures are not in' in told.stdout and '000009.jpg' in told.stdout


def test_bad_identity_files_are_named(tmp_path):
    path = tmp_path / 'identity.txt'
    for text, message in (('a.jpg 1\na.jpg x\n', 'identity.txt:2: '), ('b.jpg 1\n', 'none of the 1 pictures')):
        path.write_text(text)
        with pytest.raises(SlimError, match=message):
            by_identity(path, ['a.jpg'])
    with pytest.raises(SlimError, match='cannot be read'):
        by_identity(tmp_path / 'none.txt', ['a.jpg'])
    with pytest.raises(SlimError, match='min-pictures is 0'):
        choose({'A': ['a.jpg']}, min_pictures=0)


def test_crops_of_aligned_pictures():
    assert np.array_equal(crop(WIDE, 'left'), WIDE[:, :96])
    assert np.array_equal(crop(WIDE, 'centre'), WIDE[:, 8:104])
    for shape in ((250, 250, 3), (112, 95, 3)):
        with pytest.raises(SlimError, match='align it first'):
            crop(np.zeros(shape, np.uint8), 'left')


def test_prepared_faces_are_a_set_to_train_on(faces, tmp_path):
    told = run(
        'prepare_faces.py', faces, '--pairs', tmp_path / 'pairs.txt', '--crop', 'left', '--out', tmp_path / 'set'
    )
    assert told.returncode == 0, told.stderr
    found = open_faces(tmp_path / 'set')
    assert (found.people, found.count) == (2, 8)
    assert sorted(path.name for path in found.pictures.iterdir()) == ['Ada', 'Cy', 'Di', 'Ed']
    assert np.array_equal(cv2.imread(str(found.pictures / 'Cy' / 'Cy_0003.png')), WIDE[:, :96])
    assert found.pairs.read_bytes() == (tmp_path / 'pairs.txt').read_bytes()


def test_preparing_again_continues_and_keeps(faces, tmp_path):
    arguments = faces, tmp_path / 'pairs.txt', tmp_path / 'set', 4

    def stop(results, total):
        next(iter(results))
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        prepare(*arguments, progress=stop)
    assert not (tmp_path / 'set' / 'train.txt').exists()
    prepare(*arguments)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / 'set' / 'aligned').rglob('*.png')}
    assert len(made) == 15 and prepare(*arguments)[:2] == (2, 8)
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / 'set' / 'aligned').rglob('*.png')}
    with pytest.raises(
        SlimError,
        match=r'made of other faces, pairs or settings .prepare.json.; .* run_all.sh DATA= .* OUT=',
    ):
        prepare(*arguments, anchor='left')


def test_pictures_that_fit_are_copied_byte_for_byte(tmp_path):
    folder = tree(tmp_path / 'faces', {'Ada': 4, 'Bo': 2}, WIDE[:, :96])
    (tmp_path / 'pairs.txt').write_text('1\nBo 1 2\nBo 1 Bo 2\n')
    prepare(folder, tmp_path / 'pairs.txt', tmp_path / 'set')
    one = 'Ada/Ada_0001.png'
    assert (tmp_path / 'set' / 'aligned' / one).read_bytes() == (folder / one).read_bytes()


def test_broken_pictures_are_left_out_and_listed(faces, tmp_path):
    (faces / 'Ada' / 'Ada_0002.png').write_text('broken')
    cv2.imwrite(str(faces / 'Di' / 'Di_0005.png'), np.zeros((250, 250, 3), np.uint8))
    people, pictures, bad = prepare(faces, tmp_path / 'pairs.txt', tmp_path / 'set')
    assert (people, pictures, len(bad)) == (1, 4, 2)  # Ada has but three pictures left
    assert (tmp_path / 'set' / 'train.txt').read_text().startswith('Di/Di_0001.png 0\n')
    assert 'Ada_0002.png: is broken' in (tmp_path / 'set' / 'left_out.txt').read_text()


def test_a_broken_picture_of_the_pairs_ends_it(faces, tmp_path):
    (faces / 'Cy' / 'Cy_0003.png').write_text('broken')
    with pytest.raises(SlimError, match='Cy_0003.png: is broken or no picture .a picture of the pairs'):
        prepare(faces, tmp_path / 'pairs.txt', tmp_path / 'set')


def test_bad_requests_are_named(faces, tmp_path):
    pairs = tmp_path / 'pairs.txt'
    with pytest.raises(SlimError, match='none: no such folder'):
        prepare(tmp_path / 'none', pairs, tmp_path / 'set')
    with pytest.raises(SlimError, match='nobody outside .* has 9 pictures'):
        prepare(faces, pairs, tmp_path / 'set', min_pictures=9)
    with pytest.raises(SlimError, match='holds other files'):
        prepare(faces, pairs, faces)
    pairs.write_text('1\nCy 1 2\nCy 3 Ed 9\n')
    with pytest.raises(SlimError, match='Ed_0009'):
        prepare(faces, pairs, tmp_path / 'set')
    assert not (tmp_path / 'set').exists()
