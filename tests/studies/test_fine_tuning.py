"""Whether losses of fine-tuning go where the published ones go."""

import pytest
from sphereslim.studies.fine_tuning import curves_table, ends, same_direction


def row(ours, published):
    values = {'net': 'n', 'rate': 0.5, 'stage': 'conv1', 'lambda': 5.0}
    return values | {'ours': ends(ours), 'published': ends(published)}


UP, DOWN = [[i, 1 + i / 10] for i in range(20)], [[i, 3 - i / 10] for i in range(20)]


def test_the_ends_of_a_curve_are_means_over_a_tenth():
    assert ends(UP) == pytest.approx([1.05, 2.85]) and ends(UP[:1]) == [1, 1] and ends([]) is None


def test_a_loss_that_falls_where_the_published_one_rises_goes_another_way():
    rows = [row(UP, UP), row(DOWN, UP), row(DOWN, DOWN), row(UP, [])]
    assert [same_direction(one) for one in rows] == [True, False, True, None]
    assert [[cell.text for cell in line][2:] for line in curves_table(rows).rows[1:]] == [
        ['2.95', '1.15', '5.0', '1.05', '2.85', 'no'],
        ['2.95', '1.15', '5.0', '2.95', '1.15', 'yes'],
        ['1.05', '2.85', '5.0', '', '', ''],
    ]
