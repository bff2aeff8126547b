import dataclasses
import json
import os
import subprocess
import sys
from itertools import pairwise

import cv2
import numpy as np
import pytest
from repository import ROOT
from sphereslim.errors import SlimError
from sphereslim.facedata import pictures
from sphereslim.facedata.alignment.align import FIVE_POINTS, align, similarity
from sphereslim.facedata.lists import pairs
from sphereslim.facedata.synthetic import dataset
from sphereslim.facedata.synthetic.identity import sample_person
from sphereslim.facedata.synthetic.render import SIZE, landmarks, render
from sphereslim.facedata.synthetic.view import Camera, Expression, Light, Pose, View, sample_view
from sphereslim.files import only_one

PREPROCESS = ROOT / 'preprocess'

SETTINGS = dataset.Settings(people=3, pictures=2, test_people=4, test_pictures=3, folds=2, pairs=3, seed=5)


@pytest.fixture(scope='module')
def faces(tmp_path_factory):
    out = tmp_path_factory.mktemp('faces') / 'set'
    dataset.make(out, SETTINGS)
    return out


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def listed(faces, name):
    return [line.split() for line in (faces / name).read_text().splitlines()]


def plain_view(yaw=0.0, pitch=0.0, roll=0.0, centre=(125.0, 125.0)):
    """A frontal lamp, a neutral face, nothing in front of it, no noise."""
    return View(
        1,
        Pose(yaw, pitch, roll, 70.0, centre),
        Light((0.0, 0.0, 1.0), (0.6,) * 3, (0.4,) * 3, 0.0),
        Expression(0.0, 0.0, 0.0, 1.0, (0.0, 0.0)),
        Camera(0.0, 0.0, 0.0, 1.0, 1.0),
        'none',
        'none',
    )


def person(number):
    return dataclasses.replace(sample_person(np.random.default_rng(number)), beard='none')


def test_the_same_settings_give_the_same_bytes_with_any_number_of_workers(faces, tmp_path):
    dataset.make(tmp_path / 'again', SETTINGS, workers=2)
    assert contents(tmp_path / 'again') == contents(faces)


def test_another_seed_gives_other_people(faces, tmp_path):
    dataset.make(tmp_path / 'other', dataclasses.replace(SETTINGS, seed=6))
    assert not set(contents(tmp_path / 'other')) & {path for path in contents(faces) if path.startswith('raw')}


def test_layout(faces):
    raw, aligned = (
        {path.relative_to(faces / kind) for path in (faces / kind).rglob('*.jpg')} for kind in ('raw', 'aligned')
    )
    assert raw == aligned and len(raw) == 3 * 2 + 4 * 3
    for path in raw:
        assert path.parent.name.count('_') == 1 and path.name.startswith(path.parent.name + '_000')
        assert cv2.imread(str(faces / 'raw' / path)).shape == (250, 250, 3)
        assert cv2.imread(str(faces / 'aligned' / path)).shape == (112, 96, 3)
    assert {line[0] for line in listed(faces, 'landmarks.txt')} == {path.as_posix() for path in raw}
    assert not list(faces.rglob('*.partial')) and not (faces / dataset.STARTED).exists()


def test_labels_are_dense_and_one_per_person(faces):
    lines = listed(faces, 'train.txt')
    people = {path.split('/')[0]: int(label) for path, label in lines}
    assert sorted(people.values()) == [0, 1, 2] and len(lines) == 3 * 2
    assert all(
        people[path.split('/')[0]] == int(label) and (faces / 'aligned' / path).is_file() for path, label in lines
    )


def test_pairs_are_over_other_people_in_separate_folds(faces):
    head, *lines = [line.split('\t') for line in (faces / 'pairs.txt').read_text().splitlines()]
    trained = {path.split('/')[0] for path, _ in listed(faces, 'train.txt')}
    assert head == ['2', '3'] and [len(line) for line in lines] == [3, 3, 3, 4, 4, 4] * 2
    folds = [{word for line in lines[start : start + 6] for word in line if not word.isdigit()} for start in (0, 6)]
    assert not folds[0] & folds[1] and not (folds[0] | folds[1]) & trained
    assert len({tuple(line) for line in lines}) == 12
    assert all(line[1] != line[2] if len(line) == 3 else line[0] != line[2] for line in lines)
    for line in lines:
        for name, number in [(line[0], line[1]), (line[0], line[2]) if len(line) == 3 else (line[2], line[3])]:
            assert (faces / 'aligned' / name / f'{name}_{int(number):04d}.jpg').is_file()


def test_aligned_crops_are_the_raw_pictures_brought_to_the_five_points(faces):
    errors = []
    for path, *numbers in listed(faces, 'landmarks.txt'):
        points = np.array(numbers, float).reshape(5, 2)
        crop = align(cv2.imread(str(faces / 'raw' / path)), points)
        stored = cv2.imread(str(faces / 'aligned' / path))
        assert np.array_equal(cv2.imdecode(cv2.imencode('.jpg', crop, pictures.QUALITY)[1], 1), stored)
        moved = points @ similarity(points)[:, :2].T + similarity(points)[:, 2]
        errors.append(np.linalg.norm(moved - FIVE_POINTS, axis=1).mean())
    assert np.mean(errors) < 5 and np.max(errors) < 12


def test_landmarks_are_in_the_order_that_they_are_seen():
    for number in range(5):
        left_eye, right_eye, nose, left_mouth, right_mouth = landmarks(person(number), plain_view())
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < nose[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize('yaw,pitch,roll', [(0, 0, 0), (0.3, 0, 0), (0, 0.15, 0.2), (-0.3, -0.1, -0.2)])
def test_pupils_are_drawn_at_the_landmarks_of_the_eyes(yaw, pitch, roll):
    pale = dataclasses.replace(person(3), hair=dataclasses.replace(person(3).hair, hairline='bald', sides=-1, back=0))
    view = plain_view(yaw, pitch, roll)
    grey = cv2.cvtColor(render(pale, view), cv2.COLOR_BGR2GRAY)
    for x, y in np.round(landmarks(pale, view)[:2]).astype(int):
        window = cv2.GaussianBlur(grey, (0, 0), 1)[y - 4 : y + 5, x - 5 : x + 6]
        row, column = np.unravel_index(window.argmin(), window.shape)
        assert abs(row - 4) <= 3 and abs(column - 5) <= 2


def test_the_nose_goes_where_the_head_turns():
    someone = person(2)
    nose = {yaw: landmarks(someone, plain_view(yaw=yaw))[2, 0] for yaw in (-0.3, 0.0, 0.3)}
    assert nose[-0.3] < nose[0.0] - 10 and nose[0.3] > nose[0.0] + 10
    upright, tilted = landmarks(someone, plain_view()), landmarks(someone, plain_view(roll=np.pi / 2))
    turned = np.stack([125 - (upright[:, 1] - 125), upright[:, 0]], 1)  # a quarter clockwise about (125, 125)
    assert np.allclose(tilted, turned)


def test_two_people_differ_more_than_two_renderings_of_one():
    one, other = (render(person(number), plain_view()).astype(float) for number in (1, 2))
    assert np.abs(one - other).mean() > 5
    assert np.array_equal(one, render(person(1), plain_view()))


def test_every_kind_of_covering_shows_and_leaves_landmarks_alone():
    someone, view = person(4), plain_view()
    bare = render(someone, view)
    for change in (
        {'glasses': 'clear'},
        {'glasses': 'dark'},
        *({'occlusion': kind} for kind in ('lock', 'hand', 'cap', 'scarf')),
    ):
        covered = dataclasses.replace(view, **change)
        assert np.abs(render(someone, covered).astype(int) - bare).max() > 40
        assert np.array_equal(landmarks(someone, covered), landmarks(someone, view))


def test_views_stay_within_the_picture():
    for number in range(200):
        view = sample_view(np.random.default_rng(number), 0.5, SIZE)
        points = landmarks(person(0), view)
        assert points.min() > 20 and points.max() < SIZE - 20


def test_a_finished_set_is_left_alone(faces):
    before = {path: path.stat().st_mtime_ns for path in faces.rglob('*')}
    assert dataset.is_finished(faces, SETTINGS)
    dataset.make(faces, SETTINGS)
    assert before == {path: path.stat().st_mtime_ns for path in faces.rglob('*')}


def test_an_interrupted_run_continues_to_the_same_bytes(faces, tmp_path):
    def stop_after_two_people(results, total):
        for _, result in zip(range(2), results):
            yield result
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset.make(tmp_path / 'set', SETTINGS, progress=stop_after_two_people)
    assert not (tmp_path / 'set' / dataset.FINISHED).exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.jpg')}
    with only_one(tmp_path / 'set'), pytest.raises(SlimError, match='set: another process is at work there'):
        dataset.make(tmp_path / 'set', SETTINGS)
    dataset.make(tmp_path / 'set', SETTINGS)
    assert contents(tmp_path / 'set') == contents(faces)
    assert kept and all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_a_folder_with_other_content_is_refused(faces, tmp_path):
    (tmp_path / 'note').write_text('mine')
    with pytest.raises(SlimError, match='other files'):
        dataset.make(tmp_path, SETTINGS)
    with pytest.raises(SlimError, match='pictures 2, expected 4'):
        dataset.make(faces, dataclasses.replace(SETTINGS, pictures=4))


def test_impossible_settings_are_refused_before_anything_is_written(tmp_path):
    for change, words in (
        ({'pairs': 50}, 'matched pairs'),
        ({'folds': 4}, 'mismatched pairs'),
        ({'pictures': 0}, 'pictures is 0'),
    ):
        with pytest.raises(SlimError, match=words):
            dataset.make(tmp_path / 'set', dataclasses.replace(SETTINGS, **change))
    assert not (tmp_path / 'set').exists()


def test_drawn_pairs_are_sorted_by_person_and_unique():
    folds = pairs.draw([f'P_{k}' for k in range(6)], 5, 2, 12, np.random.default_rng(0))
    for matched, mismatched in folds:
        assert len(set(matched)) == len(set(mismatched)) == 12
        assert all(i < j for _, i, j in matched)
        assert all(a[0] != a[2] for a in mismatched)
    assert all(earlier != later for earlier, later in pairwise(folds))


def command(*arguments):
    return subprocess.run(
        [sys.executable, PREPROCESS / 'make_faces.py', *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )


SMALL = ['--people', 1, '--per-person', 1, '--test-people', 2, '--test-per-person', 2, '--folds', 1, '--per-fold', 1]


def test_command(tmp_path):
    first = command('--out', tmp_path / 'set', *SMALL, '--workers', 1)
    assert first.returncode == 0, first.stderr
    assert json.loads((tmp_path / 'set/faces.json').read_text())['test_people'] == 2
    second = command('--out', tmp_path / 'set', *SMALL)
    assert second.returncode == 0 and 'nothing to do' in second.stdout


def test_command_says_in_one_line_what_is_wrong(tmp_path):
    (tmp_path / 'file').write_text('')
    for arguments in (['--out', tmp_path / 'file', *SMALL], ['--out', tmp_path / 'set', *SMALL, '--people', 0]):
        result = command(*arguments)
        assert result.returncode == 1 and result.stderr.startswith('error: ')
        assert result.stderr.count('\n') == 1
