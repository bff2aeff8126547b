import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'preprocess'))

from facedata.align import FIVE_POINTS, SIZE, align, similarity  # noqa: E402
from facedata.errors import FaceDataError  # noqa: E402

PICTURE = np.random.default_rng(0).integers(0, 256, (250, 250, 3), dtype=np.uint8)


def test_a_shift_by_whole_pixels_is_a_plain_crop():
    height, width = SIZE
    crop = align(PICTURE, FIVE_POINTS + (31, 47))
    assert np.array_equal(crop, PICTURE[47:47 + height, 31:31 + width])


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
    with pytest.raises(FaceDataError, match='landmarks'):
        align(PICTURE, points)
