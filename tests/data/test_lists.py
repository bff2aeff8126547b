import pytest
from sphereslim.data.lists import read_labelled
from sphereslim.errors import SlimError


def test_lines_are_pictures_and_labels(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_text('a/1.jpg 0\n\nwith a space.jpg\t12\r\n  \n')
    assert read_labelled(path) == [('a/1.jpg', 0), ('with a space.jpg', 12)]


@pytest.mark.parametrize(
    'content, told',
    [
        (b'', 'list.txt: is empty'),
        (b'\n \n', 'list.txt: is empty'),
        (b'a.jpg 0\n\nb.jpg\n', ":3: 'b.jpg', expected"),
        (b'a.jpg x\n', ':1:'),
        (b'a.jpg -1\n', ':1:'),
        (b'\xff\xfe\n', 'list.txt: is not text, expected lines of'),
    ],
)
def test_what_is_no_list_is_named(tmp_path, content, told):
    path = tmp_path / 'list.txt'
    path.write_bytes(content)
    with pytest.raises(SlimError, match=told):
        read_labelled(path)
    with pytest.raises(SlimError, match='none.txt: cannot be read'):
        read_labelled(tmp_path / 'none.txt')


def test_pictures_that_are_missing_are_named_with_their_line(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_text('list.txt 0\n\na b.jpg 1\n')
    with pytest.raises(SlimError, match='^.*list.txt:3: .*/a b.jpg: no such picture$'):
        read_labelled(path, tmp_path)
    (tmp_path / 'a b.jpg').touch()
    assert len(read_labelled(path, tmp_path)) == 2
