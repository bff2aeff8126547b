import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment import landmarks
from sphereslim.facedata.alignment.align import FIVE_POINTS, SIZE, align, similarity
from sphereslim.facedata.alignment.align_list import align_list
from sphereslim.facedata.synthetic import dataset
from sphereslim.files import only_one

PREPROCESS = ROOT / 'preprocess'

PICTURE = np.random.default_rng(0).integers(0, 256, (250, 250, 3), dtype=np.uint8)


def test_a_shift_by_whole_pixels_is_a_plain_crop():
    height, width = SIZE
    crop = align(PICTURE, FIVE_POINTS + (31, 47))
    assert np.array_equal(crop, PICTURE[47 : 47 + height, 31 : 31 + width])


def test_a_quarter_turn_is_turned_back():
    turned = np.rot90(PICTURE, -1)  # clockwise: what was at (x, y) is now at (249 - y, x)
    points = FIVE_POINTS + (31, 47)
    crop = align(turned, np.stack([249 - points[:, 1], points[:, 0]], 1))
    difference = crop.astype(int) - align(PICTURE, points)
    # Resampling may round by a level where the transform is exact only to 1e-15.
    assert np.abs(difference).max() <= 1


def test_half_the_size_averages_as_bilinear_sampling_does():
    ramp = np.tile(np.arange(250, dtype=np.float32), (250, 1))
    crop = align(ramp, FIVE_POINTS * 2)
    assert np.allclose(crop, np.tile(2 * np.arange(96, dtype=np.float32), (112, 1)), atol=0.05)


@given(st.floats(-3, 3), st.floats(0.2, 5), st.floats(-100, 100), st.floats(-100, 100))
def test_any_similarity_is_recovered(angle, scale, dx, dy):
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[a, -b, dx], [b, a, dy]])
    points = np.linalg.solve(matrix[:, :2], (FIVE_POINTS - matrix[:, 2]).T).T
    assert np.allclose(similarity(points), matrix, atol=1e-6)


def test_points_that_do_not_fit_are_met_in_least_squares():
    points = FIVE_POINTS * 1.7 + np.random.default_rng(1).normal(0, 5, (5, 2))
    rows = [row for x, y in points for row in ((x, -y, 1, 0), (y, x, 0, 1))]
    a, b, dx, dy = np.linalg.lstsq(np.array(rows), FIVE_POINTS.ravel(), rcond=None)[0]
    assert np.allclose(similarity(points), [[a, -b, dx], [b, a, dy]])


def test_size_and_channels():
    assert align(PICTURE[..., 0], FIVE_POINTS, size=(112, 112)).shape == (112, 112)
    assert align(PICTURE, FIVE_POINTS).shape == (112, 96, 3)


@pytest.mark.parametrize('points', [np.zeros((5, 2)), np.full((5, 2), np.nan), FIVE_POINTS[:4]])
def test_bad_landmarks_are_named(points):
    with pytest.raises(SlimError, match='landmarks'):
        align(PICTURE, points)


def run(script, *words):
    return subprocess.run([sys.executable, PREPROCESS / script, *map(str, words)], capture_output=True, text=True)


def test_known_points_of_raw_pictures_land_where_they_should(tmp_path):
    """Dots at points whose turn, size and place are known; the list stands in for the detector."""
    rng = np.random.default_rng(3)
    lines = []
    for number in range(4):
        angle, scale = rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.6)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = (FIVE_POINTS - FIVE_POINTS.mean(0)) @ turn.T + (125, 130)
        picture = np.zeros((250, 250, 3), np.uint8)
        for x, y in points:
            cv2.circle(picture, (round(x * 16), round(y * 16)), 64, (255, 255, 255), -1, cv2.LINE_AA, 4)
        path = tmp_path / 'raw' / f'P{number}' / f'P{number}_0001.png'
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), picture)
        lines.append(landmarks.found_line(f'P{number}/{path.name}', (60, 60, 190, 200), 0.999, points))
    (tmp_path / 'list.txt').write_text(''.join(lines))
    told = run('align_faces.py', tmp_path / 'raw', '--list', tmp_path / 'list.txt', '--out', tmp_path / 'aligned')
    assert told.returncode == 0, told.stderr
    for number in range(4):
        crop = cv2.imread(str(tmp_path / 'aligned' / f'P{number}' / f'P{number}_0001.png'), cv2.IMREAD_GRAYSCALE)
        assert crop.shape == SIZE
        for x, y in FIVE_POINTS:
            left, top = round(x) - 7, round(y) - 7
            rows, columns = np.mgrid[top : top + 15, left : left + 15]
            weight = crop[top : top + 15, left : left + 15] / crop[top : top + 15, left : left + 15].sum()
            assert np.hypot((columns * weight).sum() - x, (rows * weight).sum() - y) < 0.3


def test_the_synthetic_set_is_aligned_as_it_was_made(tmp_path):
    settings = dataset.Settings(people=1, pictures=2, test_people=2, test_pictures=2, folds=1, pairs=1)
    dataset.make(tmp_path / 'set', settings)
    found, bad = align_list(tmp_path / 'set' / 'raw', tmp_path / 'set' / 'landmarks.txt', tmp_path / 'again')
    assert (found, bad) == (6, {})
    for path in (tmp_path / 'set' / 'aligned').rglob('*.jpg'):
        again = tmp_path / 'again' / path.relative_to(tmp_path / 'set' / 'aligned')
        assert again.read_bytes() == path.read_bytes()


def test_what_cannot_be_aligned_is_named_and_the_rest_is_kept(tmp_path):
    cv2.imwrite(str(tmp_path / 'good.png'), PICTURE)
    (tmp_path / 'bad.png').write_text('no picture')
    box = (0, 0, 9, 9)
    lines = [
        landmarks.found_line(name, box, 1, points)
        for name, points in (
            ('good.png', FIVE_POINTS),
            ('bad.png', FIVE_POINTS),
            ('gone.png', FIVE_POINTS),
            ('flat.png', np.ones((5, 2))),
        )
    ]
    cv2.imwrite(str(tmp_path / 'flat.png'), PICTURE)
    (tmp_path / 'list.txt').write_text(''.join(lines) + landmarks.missing_line('dark.png', 'no face found'))
    found, bad = align_list(tmp_path, tmp_path / 'list.txt', tmp_path / 'out')
    assert found == 1 and sorted(bad) == ['bad.png', 'dark.png', 'flat.png', 'gone.png']
    assert [path.name for path in (tmp_path / 'out').glob('*.*g')] == ['good.png']
    made = (tmp_path / 'out' / 'good.png').stat().st_mtime_ns
    with only_one(tmp_path / 'out'), pytest.raises(SlimError, match='out: another process is at work there'):
        align_list(tmp_path, tmp_path / 'list.txt', tmp_path / 'out')
    align_list(tmp_path, tmp_path / 'list.txt', tmp_path / 'out')
    assert (tmp_path / 'out' / 'good.png').stat().st_mtime_ns == made


FOUND = landmarks.found_line('a b.png', (0, 0, 9, 9), 1, FIVE_POINTS)


@pytest.mark.parametrize(
    'folder, content, told',
    [
        ('', landmarks.missing_line('dark.png', 'no face found'), 'list.txt: no picture with a face in it'),
        ('gone', FOUND, 'gone: no such folder of pictures'),
        ('', FOUND + FOUND, 'a b.png: cannot be read .* (and none of the 1 faces could be aligned)'),
        ('', FOUND + '\n' + FOUND.rsplit('\t', 3)[0], "list.txt:3: 'a b.png\t.*, expected a path and 10 or 15 numbers"),
    ],
)
def test_lists_of_nothing_end_in_one_line(folder, content, told, tmp_path):
    (tmp_path / 'list.txt').write_text(content)
    ended = run('align_faces.py', tmp_path / folder, '--list', tmp_path / 'list.txt', '--out', tmp_path / 'out')
    assert ended.returncode == 1 and not list(tmp_path.rglob('out/*.png'))
    expected = re.escape(f'error: {tmp_path}/') + told.replace('(', r'\(').replace(')', r'\)')
    assert re.fullmatch(expected, ended.stderr.strip().splitlines()[-1])
