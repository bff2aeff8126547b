"""Pictures to measure on: as many as asked for, none in two samples, none of the people of a pairs file."""

import pytest
from sphereslim.data.pictures import sample_pictures, shuffled_pictures
from sphereslim.errors import SlimError


@pytest.fixture
def pictures(tmp_path):
    """Two pictures of each of ten people."""
    for person in 'ABCDEFGHIJ':
        (tmp_path / 'faces' / person).mkdir(parents=True)
        for number in (1, 2):
            (tmp_path / 'faces' / person / f'{person}_000{number}.jpg').touch()
    return tmp_path / 'faces'


@pytest.mark.parametrize(
    'counts, sizes',
    [
        ([3, 4], [3, 4]),
        ([10, 10], [10, 10]),
        ([40, 20], [13, 6]),
        ([500, 1, 1], [18, 1, 1]),
        ([1, 1, 500], [1, 1, 18]),
        ([1] * 20, [1] * 20),
        ([100, *[1] * 19], [1] * 20),
    ],
)
def test_samples_are_of_the_sizes_asked_for_as_far_as_pictures_go(pictures, counts, sizes):
    samples = sample_pictures(pictures, counts)
    assert [len(sample) for sample in samples] == sizes
    assert len({path for sample in samples for path in sample}) == sum(sizes)


def test_too_few_pictures_are_told(pictures):
    with pytest.raises(SlimError, match='faces: 20 pictures to choose from, expected at least 21'):
        sample_pictures(pictures, [1] * 21)


def test_all_pictures_come_in_the_order_of_the_seed_without_the_people_of_the_pairs(pictures, tmp_path):
    everything = shuffled_pictures(pictures, 3)
    assert everything[:5] == list(sample_pictures(pictures, [5, 1], 3)[0]) != shuffled_pictures(pictures, 4)[:5]
    (tmp_path / 'pairs.txt').write_text('1 1\nA 1 2\nB 1 C 1\n')
    left = shuffled_pictures(pictures, 3, tmp_path / 'pairs.txt')
    assert len(everything) == 20 and sorted({path.parent.name for path in left}) == list('DEFGHIJ')
