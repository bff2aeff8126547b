"""Locks of folders: one process at a time, and nothing left of them."""

import pytest
from sphereslim.errors import SlimError
from sphereslim.files import only_one


def test_a_folder_is_locked_for_the_block_and_nothing_is_left_of_the_lock(tmp_path):
    folder = tmp_path / 'a' / 'b'
    with only_one(folder):
        with pytest.raises(SlimError, match='b: another process is at work there'), only_one(folder):
            pass
        (folder / 'result').touch()
    assert [path.name for path in folder.iterdir()] == ['result']
    with only_one(folder):
        assert (folder / '.lock').exists()


def test_a_block_that_fails_leaves_no_empty_folder(tmp_path):
    for written in (False, True):
        with pytest.raises(SlimError, match='failed'), only_one(tmp_path / 'a' / 'b'):
            if written:
                (tmp_path / 'a' / 'b' / 'first').touch()
            raise SlimError('failed')
        assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*')] == (
            ['a', 'a/b', 'a/b/first'] if written else []
        )


def test_a_lock_that_its_holder_removes_meanwhile_is_made_anew(tmp_path, monkeypatch):
    (tmp_path / '.lock').touch()
    opened = []

    def open_late(path, mode):
        file = open(path, mode)
        if not opened:
            (tmp_path / '.lock').unlink()
        opened.append(file)
        return file

    monkeypatch.setattr('sphereslim.files.open', open_late, raising=False)
    with only_one(tmp_path):
        assert len(opened) == 2 and opened[0].closed and (tmp_path / '.lock').exists()
