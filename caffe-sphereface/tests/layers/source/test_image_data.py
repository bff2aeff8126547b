"""ImageData and its reading ahead."""

import gc
import os
import shutil
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from repository import SHARED

import caffe
from caffe.data.picture_list import read_list
from caffe.errors import CaffeError
from caffe.parallel.rank import set_shard
from caffe.proto import caffe_pb2
from caffe.proto.files import parse_text
from gpu_mode import gpu_mode


@pytest.fixture(params=['threads', 'processes'])
def folder(request, tmp_path, monkeypatch):
    """A working folder with pictures 0.png … 9.png of 12x10, whose pixels say which they are, and list.txt."""
    monkeypatch.setenv('CAFFE_DATA_PROCESSES', str(int(request.param == 'processes')))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'my pictures').mkdir()
    lines = []
    for i in range(10):
        image = np.full((12, 10, 3), i, np.uint8)
        image[..., 1] += np.arange(10, dtype=np.uint8)
        cv2.imwrite(f'my pictures/{i}.png', image)
        lines.append(f'my pictures/{i}.png {i * 10}\n')
    Path('list.txt').write_text(''.join(lines))
    return tmp_path


def net(image_data='', transform='', phase=caffe.TEST, source='list.txt', batch=4):
    text = f'''layer {{ name: "d" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }}
               image_data_param {{ source: "{source}" batch_size: {batch} {image_data} }} }}'''
    return caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'test'), phase)


def batches(made, count):
    out = []
    for _ in range(count):
        made.forward()
        out.append((made.blobs['data'].data.copy(), made.blobs['label'].data.copy()))
    return out


def test_reads_in_order_and_starts_again(folder):
    made = net()
    assert made.blobs['data'].shape == (4, 3, 12, 10)
    got = batches(made, 5)
    assert np.concatenate([label for _, label in got]).tolist() == [i % 10 * 10 for i in range(20)]
    for data, label in got:
        assert np.array_equal(data[:, 0, 5, 3], label / 10)
        assert np.array_equal(data[:, 1, 5, 3], label / 10 + 3)


def test_root_folder_grey_and_size(folder):
    lines = Path('list.txt').read_text().replace('my pictures/', '')
    Path('short.txt').write_text('\n' + lines.replace('\n', '\r\n'))
    made = net('root_folder: "my pictures/" is_color: false new_height: 6 new_width: 8', source='short.txt')
    assert batches(made, 1)[0][0].shape == (4, 1, 6, 8)


def test_shuffle_gives_every_picture_once_an_epoch_in_another_order(folder):
    caffe.set_random_seed(4)
    labels = np.concatenate([label for _, label in batches(net('shuffle: true', batch=5), 6)]).reshape(3, 10)
    assert (np.sort(labels) == np.arange(10) * 10).all()
    assert len({tuple(row) for row in labels}) == 3


@pytest.mark.parametrize('workers', ['1', '7'])
def test_the_seed_decides_and_the_number_of_workers_does_not(folder, monkeypatch, workers):
    def read(count):
        monkeypatch.setenv('CAFFE_DATA_WORKERS', count)
        caffe.set_random_seed(11)
        return batches(net('shuffle: true', 'mirror: true crop_size: 7', caffe.TRAIN, batch=9), 4)

    for (data, label), (other, other_label) in zip(read('2'), read(workers)):
        assert np.array_equal(data, other) and np.array_equal(label, other_label)


def test_rand_skip_starts_within_the_list(folder):
    caffe.set_random_seed(1)
    starts = {batches(net('rand_skip: 9'), 1)[0][1][0] for _ in range(12)}
    assert len(starts) > 3 and starts <= set(range(0, 90, 10))


def test_shards_part_the_items_and_keep_the_draws(folder):
    def read(rank, count, wanted):
        set_shard(rank, count)
        try:
            caffe.set_random_seed(8)
            return batches(net('shuffle: true', 'mirror: true crop_size: 7', caffe.TRAIN, batch=4), wanted)
        finally:
            set_shard(0, 1)

    parts, alone = [read(rank, 2, 3) for rank in (0, 1)], read(0, 1, 6)
    for i in range(3):
        data, label = (np.concatenate(two) for two in zip(*alone[2 * i : 2 * i + 2]))
        assert np.array_equal(data, np.stack([parts[0][i][0], parts[1][i][0]], 1).reshape(data.shape))
        assert np.array_equal(label, np.stack([parts[0][i][1], parts[1][i][1]], 1).reshape(-1))


def test_pictures_of_each_batch_may_have_their_own_size(folder):
    for i in range(4, 8):
        cv2.imwrite(f'my pictures/{i}.png', np.zeros((20, 30, 3), np.uint8))
    made = net()
    assert [data.shape for data, _ in batches(made, 2)] == [(4, 3, 12, 10), (4, 3, 20, 30)]
    with pytest.raises(CaffeError, match='expected the same'):
        batches(net(batch=6), 1)


@pytest.mark.parametrize(
    'break_it,part',
    [
        (lambda: os.unlink('my pictures/6.png'), 'cannot be read'),
        (lambda: Path('my pictures/6.png').write_bytes(b''), 'not a picture'),
        (lambda: Path('my pictures/6.png').write_bytes(b'\x89PNG no'), 'not a picture'),
        (lambda: cv2.imwrite('my pictures/6.png', np.zeros((3, 4), np.uint8)), '6.png|others of its batch'),
    ],
)
def test_a_bad_picture_is_named_when_its_batch_is_due(folder, break_it, part):
    break_it()
    made = net()
    batches(made, 1)
    for _ in range(2):
        with pytest.raises(CaffeError, match=part) as failure:
            made.forward()
    assert "layer 'd' (ImageData)" in str(failure.value) and '\n' not in str(failure.value)
    if 'others' not in part:
        assert 'list.txt:7: my pictures/6.png' in str(failure.value)


@pytest.mark.parametrize(
    'content,part', [('', 'no pictures'), ('a.png 1\nb.png\n', ':2:'), ('a.png x\n', ':1:'), (' 7\n', ':1:')]
)
def test_a_bad_list_is_named(folder, content, part):
    Path('bad.txt').write_text(content)
    with pytest.raises(CaffeError, match=f'bad.txt.*{part}|bad.txt{part}'):
        net(source='bad.txt')


def test_a_missing_list_a_lone_size_and_no_batch(folder):
    with pytest.raises(CaffeError, match="layer 'd'.*nowhere.txt"):
        net(source='nowhere.txt')
    with pytest.raises(CaffeError, match='expected both or none'):
        net('new_height: 5')
    with pytest.raises(CaffeError, match='batch_size'):
        net(batch=0)


def test_the_label_stands_behind_the_last_space(tmp_path):
    (tmp_path / 'l').write_text('a b  c.png   -3\n\tx.png\t4 \n')
    listing = read_list(tmp_path / 'l')
    assert listing.paths == ['a b  c.png', 'x.png'] and listing.labels.tolist() == [-3, 4]
    assert listing.where(1).endswith('l:2')


def workers():
    """The worker threads and the child processes that there are."""
    children = {int(pid) for path in Path('/proc/self/task').glob('*/children') for pid in path.read_text().split()}
    return {t for t in threading.enumerate() if t.name == 'caffe-data'} | children


def test_workers_end_with_the_net(folder):
    gc.collect()
    before = workers()
    made = net()
    batches(made, 2)
    assert workers() - before
    del made
    gc.collect()
    limit = time.time() + 10
    while workers() - before and time.time() < limit:
        time.sleep(0.01)
    assert not workers() - before


def test_workers_end_with_a_net_in_gpu_mode(folder):
    with gpu_mode():
        test_workers_end_with_the_net(folder)


def test_workers_end_with_a_net_that_met_a_broken_picture(folder):
    Path('my pictures/5.png').write_bytes(b'no picture')
    before = workers()
    made = net()
    with pytest.raises(CaffeError, match='5.png'):
        batches(made, 2)
    assert workers() - before
    del made
    gc.collect()
    limit = time.time() + 60
    while workers() - before and time.time() < limit:
        time.sleep(0.01)
    assert not workers() - before


@pytest.mark.parametrize('name', ['CAFFE_DATA_WORKERS', 'CAFFE_DATA_PROCESSES'])
def test_the_workers_must_be_numbers(folder, monkeypatch, name):
    monkeypatch.setenv(name, 'many')
    with pytest.raises(CaffeError, match=name):
        net()


@pytest.mark.parametrize('case', ['plain', 'resize', 'gray', 'mean_scale', 'center_crop'])
def test_genuine_batches(case, tmp_path, monkeypatch):
    goldens = SHARED / 'goldens' / 'trajectories'
    if not (goldens / 'imagedata.npz').exists():
        pytest.skip('shared goldens are absent')
    monkeypatch.chdir(tmp_path)
    shutil.copy(goldens / 'faces.txt', tmp_path)
    os.symlink(SHARED / 'data' / 'orl', tmp_path / 'orl')
    made = caffe.Net(str(goldens / f'imagedata_{case}.prototxt'), caffe.TEST)
    expected = np.load(goldens / 'imagedata.npz')
    # resized pixels may differ by rounding between versions of OpenCV
    tolerance = 2.01 if 'new_height' in (goldens / f'imagedata_{case}.prototxt').read_text() else 1e-6
    for k, (data, label) in enumerate(batches(made, 2)):
        assert np.array_equal(label, expected[f'{case}/{k}/label'])
        assert np.abs(data - expected[f'{case}/{k}/data']).max() <= tolerance


def multi(kind, lines, image_data=''):
    """A net that reads the pictures of folder p with several labels each."""
    Path('p').mkdir(exist_ok=True)
    for i in range(3):
        cv2.imwrite(f'p/{i}.png', np.full((4, 5, 3), i, np.uint8))
    Path('multi.txt').write_text(lines)
    text = f'''layer {{ name: "d" type: "{kind}" top: "data" top: "label"
               image_data_param {{ source: "multi.txt" batch_size: 2 root_folder: "p/" {image_data} }} }}'''
    return caffe.Net(parse_text(text, caffe_pb2.NetParameter(), 'test'), caffe.TEST)


@pytest.mark.parametrize(
    'kind, lines, image_data, labels',
    [
        ('ImageData', '0.png 1 2 -3\n1.png 4 5 6\n\n2.png 7 8 9\n', 'label_dim: 3', [[1, 2, -3], [4, 5, 6], [7, 8, 9]]),
        ('MultiLabelImageData', '0.png 0.5 2\n1.png -1e-3 5\n2.png 7 8\n', '', [[0.5, 2], [-0.001, 5], [7, 8]]),
        ('MultiLabelImageData', '0.png 4\n1.png 5\n2.png 6\n', '', [[4], [5], [6]]),
    ],
)
def test_a_picture_may_have_several_labels(folder, kind, lines, image_data, labels):
    made = multi(kind, lines, image_data)
    assert made.blobs['label'].shape == (2, len(labels[0]))
    got = [label for _, label in batches(made, 3)]
    assert np.allclose(np.concatenate(got), np.resize(labels, (6, len(labels[0]))))


@pytest.mark.parametrize(
    'kind, lines, image_data, message',
    [
        ('ImageData', '0.png 1 2\n', 'label_dim: 3', "multi.txt:1: labels '1 2', expected 3 whole numbers"),
        ('ImageData', '0.png 1 2 3\n1.png 1 2 x\n', 'label_dim: 3', 'multi.txt:2: .*expected 3 whole'),
        ('MultiLabelImageData', '0.png 1 2\n1.png 1\n', '', "multi.txt:2: labels '1', expected 2 numbers"),
        ('MultiLabelImageData', '0.png\n', '', 'expected one or more numbers'),
        ('MultiLabelImageData', '\n', '', 'lists no pictures'),
    ],
)
def test_lists_with_other_numbers_of_labels_are_refused(folder, kind, lines, image_data, message):
    with pytest.raises(CaffeError, match=message) as error:
        multi(kind, lines, image_data)
    assert "layer 'd'" in str(error.value)


@pytest.mark.parametrize(
    'field', ['face_transform: true', 'balance_class: true', 'label_cut_start: 1', 'short_side: 256']
)
def test_fields_that_change_which_pictures_a_net_gets_are_refused_with_their_forks(field):
    with pytest.raises(
        CaffeError, match=f'image_data_param.{field.replace(":", "")}: not implemented.*(caffe-windows|nvcaffe)'
    ):
        net(field)
