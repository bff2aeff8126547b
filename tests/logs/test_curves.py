"""Smoothed curves."""

import numpy as np
import pytest
from log_texts import noisy
from sphereslim.logs.curves import Curve, smooth, steps


def test_smoothing_is_the_straight_line_of_each_window():
    curve = noisy(0)
    value, error = smooth(curve, [1000.0, 0.0, 5000.0], 150)
    near = np.abs(curve.iteration - 1000) <= 150
    fit = np.polyfit(curve.iteration[near] - 1000, curve.value[near], 1)
    assert value[0] == pytest.approx(fit[1], rel=1e-9) and np.isnan(value[2])
    assert error[0] == pytest.approx(0.3 / np.sqrt(near.sum()), rel=0.4) and error[1] > error[0]


def test_smoothing_does_not_reach_over_a_step():
    curve = Curve('loss', np.arange(100), np.where(np.arange(100) < 50, 2.0, 1.0))
    value, _ = smooth(curve, curve.iteration, 20, [50])
    assert np.allclose(value, curve.value)
    assert steps(curve) == [(49, 50, 0.5)]


def test_a_smoothed_loss_stays_between_the_values_seen():
    curve = Curve('loss', np.arange(40), np.maximum(5 - np.arange(40) / 7.8, 0.1))
    value, _ = smooth(curve, curve.iteration, 4)
    assert value[-1] == 0.1 and value.max() <= 5
