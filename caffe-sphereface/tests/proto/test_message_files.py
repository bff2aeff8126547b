"""Files are written whole or not at all, to where their names lead."""

import os
import stat
import threading

import pytest

from caffe.errors import CaffeError
from caffe.proto.files import write_bytes


def test_a_file_takes_the_place_of_an_old_one_even_a_write_protected_one(tmp_path):
    path = tmp_path / 'net.caffemodel'
    path.write_bytes(b'old')
    path.chmod(0o444)
    write_bytes(path, b'ne', b'w')
    assert path.read_bytes() == b'new' and os.listdir(tmp_path) == ['net.caffemodel']


def test_a_link_stays_a_link_and_the_file_behind_it_is_written(tmp_path):
    (tmp_path / 'far').mkdir()
    link, target = tmp_path / 'net.caffemodel', tmp_path / 'far' / 'there'
    link.symlink_to(target)
    for content in (b'first', b'second'):
        write_bytes(link, content)
        assert link.is_symlink() and target.read_bytes() == content
    assert os.listdir(tmp_path / 'far') == ['there']


def test_a_pipe_is_written_into_and_stays(tmp_path):
    pipe, read = tmp_path / 'pipe', []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b'weights')
    reader.join(10)
    assert read == [b'weights'] and stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize('name', ['gone/net.caffemodel', 'folder', 'a\0b', ''])
def test_what_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder').mkdir()
    with pytest.raises(CaffeError, match='cannot be written'):
        write_bytes(name, b'x')
    assert os.listdir(tmp_path) == ['folder'] and not os.listdir(tmp_path / 'folder')


def test_a_chunk_that_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'net.caffemodel'
    path.write_bytes(b'old')
    with pytest.raises(TypeError):
        write_bytes(path, b'new', 'text')
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['net.caffemodel']
