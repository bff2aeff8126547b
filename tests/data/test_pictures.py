"""Pictures to measure on: as many as asked for, none in two samples, none of the people of a pairs file."""

import pytest
from sphereslim.data.pictures import list_images, pictures_below, sample_pictures, shuffled_pictures
from sphereslim.errors import SlimError
from sphereslim.facedata.lists import folders


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


def test_pictures_of_linked_folders_are_found(pictures, tmp_path):
    both = tmp_path / 'both'
    both.mkdir()
    (both / 'B').symlink_to(pictures / 'B')
    (both / 'all').symlink_to('all-linked')
    (both / 'all-linked').symlink_to(pictures)
    found = [path.relative_to(both).as_posix() for path in list_images(both)]
    assert found[:2] == ['B/B_0001.jpg', 'B/B_0002.jpg'] and found[2] == 'all/A/A_0001.jpg' and len(found) == 20
    assert folders.pictures(both) == sorted(found)


def test_a_folder_is_read_once_under_its_own_name_and_links_that_lead_back_end_there(pictures):
    before = pictures_below(pictures)
    (pictures.parent / 'elsewhere.jpg').touch()
    links = {'0': 'J', 'up': '..', 'gone': 'no', 'A/back': '..', 'B/self': '.', 'C/next': '../D', 'D/next': '../C'}
    for name, target in links.items():
        (pictures / name).symlink_to(target)
    assert pictures_below(pictures) == before
