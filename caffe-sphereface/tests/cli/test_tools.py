"""The tools around databases, old files and logs, as commands."""

import csv
import importlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from repository import ROOT, SHARED

import caffe
from caffe.cli import compute_image_mean, convert_imageset, draw_net, extract_features, parse_log, upgrade
from caffe.data.datum import datum_picture, datum_planes, parse_datum
from caffe.data.db import backend_named, new_database, open_reader
from caffe.proto import caffe_pb2, wire
from caffe.proto.files import read_solver, read_text_message

FILES = SHARED / 'goldens' / 'files'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with pictures p/0.png … p/4.png of 9x7 and list.txt."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)  # whatever GLOG_minloglevel hides
    os.mkdir('p')
    for i in range(5):
        cv2.imwrite(f'p/{i}.png', np.random.default_rng(i).integers(0, 256, (9, 7, 3), np.uint8))
    Path('list.txt').write_text(''.join(f'{i}.png {i}\n' for i in range(5)))
    return tmp_path


def records(path, backend='lmdb'):
    """[(key, Datum)] of a whole database."""
    reader, out = open_reader(path, backend_named(backend)), []
    while not out or reader.peek()[0] != out[0][0]:
        key, fetch = reader.step()
        out.append((key, parse_datum(fetch())))
    return out


def one_line(capsys, status, *parts):
    error = capsys.readouterr().err.strip().splitlines()
    assert status == 1 and all(part in error[-1] for part in parts), error


@pytest.mark.parametrize('backend', ['lmdb', 'leveldb'])
def test_convert_imageset_stores_planes_under_position_and_path(folder, backend):
    if backend == 'leveldb':
        pytest.importorskip('plyvel')
    assert convert_imageset.main(['p/', 'list.txt', 'db', f'-backend={backend}']) == 0
    for i, (key, datum) in enumerate(records('db', backend)):
        assert key == f'{i:08d}_{i}.png'.encode() and datum.label == i
        assert np.array_equal(datum_planes(datum), cv2.imread(f'p/{i}.png').transpose(2, 0, 1))


def test_convert_imageset_grey_resized_shuffled(folder):
    line = '--gray --shuffle --resize_width 4 --resize_height=6 p/ list.txt db'
    assert convert_imageset.main(line.split()) == 0
    made = records('db')
    assert {datum_planes(datum).shape for _, datum in made} == {(1, 6, 4)}
    assert sorted(datum.label for _, datum in made) == list(range(5))
    assert [key[:8] for key, _ in made] == [f'{i:08d}'.encode() for i in range(5)]


def test_convert_imageset_encoded_keeps_files_unless_asked_for_another_type(folder):
    assert convert_imageset.main('--encoded p/ list.txt same'.split()) == 0
    assert records('same')[3][1].data == Path('p/3.png').read_bytes()
    assert convert_imageset.main('--encode_type bmp p/ list.txt other'.split()) == 0
    datum = records('other')[3][1]
    assert datum.encoded and datum.data[:2] == b'BM'
    assert np.array_equal(datum_picture(datum), cv2.imread('p/3.png'))


def test_convert_imageset_leaves_bad_pictures_out_and_says_so(folder, capsys):
    os.unlink('p/1.png')
    Path('p/3.png').write_text('no')
    assert convert_imageset.main(['p/', 'list.txt', 'db']) == 0
    assert [key for key, _ in records('db')] == [b'00000000_0.png', b'00000002_2.png', b'00000004_4.png']
    log = capsys.readouterr().err
    assert 'list.txt:2: p/1.png' in log and 'list.txt:4: p/3.png' in log


@pytest.mark.parametrize(
    'line,part',
    [
        ('p/ nowhere.txt db', 'nowhere.txt'),
        ('q/ list.txt db', 'none of 5 pictures could be read; the last: q/4.png'),
        ('p/ list.txt p', 'exists already'),
        ('--backend=sql p/ list.txt db', 'sql'),
        ('--resize_width=3 p/ list.txt db', 'both or none'),
        ('--encode_type=odd p/ list.txt db', 'none of 5'),
        ('p/ list.txt', 'DB_NAME'),
        ('--grey p/ list.txt db', '--grey'),
        ('--check_size p/ list.txt db', 'expected the same'),
    ],
)
def test_convert_imageset_errors_leave_nothing(folder, capsys, line, part):
    if 'check_size' in line:
        cv2.imwrite('p/2.png', np.zeros((3, 3), np.uint8))
    one_line(capsys, convert_imageset.main(line.split()), part)
    assert sorted(os.listdir()) == ['list.txt', 'p']


@pytest.mark.parametrize('encoded', ['', '--encoded'])
def test_compute_image_mean(folder, capsys, encoded):
    assert convert_imageset.main(f'{encoded} p/ list.txt db'.split()) == 0
    assert compute_image_mean.main(['db', 'mean.binaryproto']) == 0
    mean = wire.blob_array(wire.parse_raw('mean.binaryproto', 'BlobProto'), 'mean')
    pictures = np.stack([cv2.imread(f'p/{i}.png') for i in range(5)]).transpose(0, 3, 1, 2).astype('f4')
    assert mean.shape == (1, 3, 9, 7) and np.allclose(mean[0], pictures.mean(0), atol=1e-4)
    assert 'mean_value channel [2]' in capsys.readouterr().err


def test_compute_image_mean_errors(folder, capsys):
    one_line(capsys, compute_image_mean.main(['nowhere', 'm']), 'nowhere')
    cv2.imwrite('p/2.png', np.zeros((3, 3), np.uint8))
    assert convert_imageset.main(['p/', 'list.txt', 'db']) == 0
    one_line(capsys, compute_image_mean.main(['db', 'm']), '00000002_2.png', 'expected the same')
    assert not os.path.exists('m')


def test_the_genuine_mean_and_database(tmp_path, monkeypatch):
    if not FILES.exists():
        pytest.skip('shared goldens are absent')
    monkeypatch.chdir(tmp_path)
    assert compute_image_mean.main([str(FILES / 'faces_lmdb'), 'mean']) == 0
    ours, genuine = (
        wire.blob_array(wire.parse_raw(path, 'BlobProto'), 'mean') for path in ('mean', FILES / 'mean.binaryproto')
    )
    assert np.allclose(ours, genuine, atol=1e-4)
    assert (
        convert_imageset.main(
            [f'{SHARED}/data/orl/', str(FILES / 'list.txt'), 'db', '--resize_width=23', '--resize_height=28']
        )
        == 0
    )
    for (key, datum), (genuine_key, genuine_datum) in zip(records('db'), records(str(FILES / 'faces_lmdb'))):
        difference = np.abs(datum_planes(datum).astype(int) - datum_planes(genuine_datum).astype(int))
        # resized pixels may differ by rounding between versions of OpenCV
        assert key == genuine_key and datum.label == genuine_datum.label and difference.max() <= 2


NET = """layer { name: "data" type: "Data" top: "data" top: "label"
                 data_param { source: "db" batch_size: 2 backend: LMDB } }
         layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4
                 weight_filler { type: "xavier" } } }"""


def test_extract_features(folder, capsys):
    assert convert_imageset.main(['p/', 'list.txt', 'db']) == 0
    Path('net.prototxt').write_text(NET)
    net = caffe.Net('net.prototxt', caffe.TEST)
    net.save('net.caffemodel')
    line = 'net.caffemodel net.prototxt ip,data f1,f2 2 lmdb CPU'
    assert extract_features.main(line.split()) == 0
    made, data = records('f1'), records('f2')
    assert [key for key, _ in made] == [f'{i:010d}'.encode() for i in range(4)]
    expected = np.concatenate([net.forward()['ip'].copy() for _ in range(2)])
    assert np.allclose([datum.float_data for _, datum in made], expected)
    assert datum_planes(made[0][1]).shape == (4, 1, 1) and datum_planes(data[0][1]).shape == (3, 9, 7)
    for wrong, part in (
        ('net.caffemodel net.prototxt no f3 2 lmdb', "'no'"),
        (line, 'exists already'),
        ('net.caffemodel net.prototxt ip f3,f4 2 lmdb', 'a database for each blob'),
        ('net.caffemodel net.prototxt ip f3 x lmdb', 'whole numbers'),
    ):
        one_line(capsys, extract_features.main(wrong.split()), part)


def test_genuine_features(tmp_path, monkeypatch):
    if not FILES.exists() or 'Sigmoid' not in caffe.layer_type_list():
        pytest.skip('shared goldens or layer Sigmoid are absent')
    monkeypatch.chdir(FILES)
    out = [str(tmp_path / name) for name in ('ip', 'sig')]
    line = ['features.caffemodel', 'features.prototxt', 'ip,sig', ','.join(out), '2', 'lmdb']
    assert extract_features.main(line) == 0
    for ours, genuine in zip(out, ('features_ip_lmdb', 'features_sig_lmdb')):
        for (key, datum), (genuine_key, genuine_datum) in zip(records(ours), records(genuine), strict=True):
            assert key == genuine_key and datum_planes(datum).shape == datum_planes(genuine_datum).shape
            assert np.allclose(datum.float_data, genuine_datum.float_data, atol=1e-4)


def test_upgrade_of_text(tmp_path):
    (tmp_path / 'old').write_text(
        'input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 '
        'layers { name: "r" type: RELU bottom: "x" top: "x" blobs_lr: 2 }'
    )
    new = str(tmp_path / 'new')
    assert upgrade.net_text([str(tmp_path / 'old'), new]) == 0
    net = read_text_message(new, caffe_pb2.NetParameter())
    assert [layer.type for layer in net.layer] == ['Input', 'ReLU'] and net.layer[1].param[0].lr_mult == 2
    (tmp_path / 'old').write_text('base_lr: 1 solver_type: ADAM')
    assert upgrade.solver_text([str(tmp_path / 'old'), new]) == 0
    assert Path(new).read_text().split() == ['base_lr:', '1.0', 'type:', '"Adam"']
    assert read_solver(new).type == 'Adam'


def test_upgrade_of_binary_keeps_blobs(tmp_path, capsys):
    old = caffe_pb2.NetParameter(name='n')
    layer = old.layers.add(name='ip', type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6), diff=[1] * 6)
    (tmp_path / 'old').write_bytes(old.SerializeToString())
    assert upgrade.net_binary([str(tmp_path / 'old'), str(tmp_path / 'new')]) == 0
    new = caffe_pb2.NetParameter.FromString((tmp_path / 'new').read_bytes())
    assert not new.layers and new.layer[0].type == 'InnerProduct' and new.layer[0].blobs[0] == layer.blobs[0]
    (tmp_path / 'cut').write_bytes((tmp_path / 'old').read_bytes()[:-5])
    one_line(capsys, upgrade.net_binary([str(tmp_path / 'cut'), str(tmp_path / 'no')]), 'cut')
    assert not (tmp_path / 'no').exists()


LOG = """I1231 23:59:58.000000  7 solver.cpp:272] Solving n
I1231 23:59:58.500000  7 solver.cpp:337] Iteration 0, Testing net (#0)
I1231 23:59:59.000000  7 solver.cpp:404]     Test net output #0: accuracy = 0.1
I1231 23:59:59.000000  7 solver.cpp:404]     Test net output #1: loss = 2.3 (* 1 = 2.3 loss)
I1231 23:59:59.500000  7 solver.cpp:218] Iteration 0 (-1e-05 iter/s, 0.05s/5 iters), loss = 3.4
I1231 23:59:59.600000  7 solver.cpp:237]     Train net output #0: loss = 3.4 (* 1 = 3.4 loss)
I1231 23:59:59.700000  7 sgd_solver.cpp:105] Iteration 0, lr = 0.01
I0101 00:00:03.000000  7 solver.cpp:218] Iteration 5 (2 iter/s, 2s/5 iters), loss = nan
I0101 00:00:03.000000  7 solver.cpp:237]     Train net output #0: loss = nan (* 1 = nan loss)
I0101 00:00:03.000000  7 sgd_solver.cpp:105] Iteration 5, lr = 1e-03
"""


def test_parse_log(tmp_path, capsys):
    (tmp_path / 'a.log').write_text(LOG)
    assert parse_log.main([str(tmp_path / 'a.log'), str(tmp_path)]) == 0
    train, test = (list(csv.DictReader(open(tmp_path / f'a.log.{kind}'))) for kind in ('train', 'test'))
    assert [row['NumIters'] for row in train] == ['0', '5'] and [row['loss'] for row in train] == ['3.4', 'nan']
    assert [float(row['Seconds']) for row in train] == [1.6, 5.0]
    assert [float(row['LearningRate']) for row in train] == [0.01, 0.01]
    assert (test[0]['accuracy'], test[0]['loss'], float(test[0]['Seconds'])) == ('0.1', '2.3', 1.0)
    (tmp_path / 'b.log').write_text('nothing\n')
    one_line(capsys, parse_log.main([str(tmp_path / 'b.log'), str(tmp_path)]), 'b.log')


def test_parse_log_of_a_genuine_training(tmp_path):
    log = SHARED / 'goldens' / 'trajectories' / 'a_softmax_m4_train.log'
    if not log.exists():
        pytest.skip('shared goldens are absent')
    rows = parse_log.parse_log(log.read_text())['train']
    assert [row['NumIters'] for row in rows] == list(range(0, 30, 5))
    assert rows[0]['lambda'] == 892.857 and rows[0]['LearningRate'] == 0.01 and 0 < rows[-1]['Seconds'] < 60


def test_draw_net(tmp_path, capsys):
    pytest.importorskip('pydot')
    (tmp_path / 'net').write_text(NET)
    assert draw_net.main([str(tmp_path / 'net'), str(tmp_path / 'net.dot'), '--rankdir', 'TB']) == 0
    assert 'InnerProduct' in (tmp_path / 'net.dot').read_text()
    one_line(capsys, draw_net.main([str(tmp_path / 'net'), str(tmp_path / 'x.dot'), '--phase=ODD']), 'ODD')


def scripts():
    """{command: module:function} of the package's entry points."""
    text = (ROOT / 'caffe-sphereface' / 'pyproject.toml').read_text().split('[project.scripts]')[1].split('[')[0]
    return dict(line.replace('"', '').split(' = ') for line in text.strip().splitlines())


@pytest.mark.parametrize('name', [name for name in scripts() if name != 'caffe'])
def test_every_command_has_a_help(name, capsys):
    module, function = scripts()[name].split(':')
    with pytest.raises(SystemExit) as stop:
        getattr(importlib.import_module(module), function)(['--help'])
    assert stop.value.code == 0 and name in capsys.readouterr().out


def test_commands_run_as_modules(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'caffe.cli.convert_imageset', 'a/', 'nowhere.txt', 'db'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.startswith('convert_imageset: nowhere.txt')


def test_a_full_disk_leaves_no_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def full(*args, **kwargs):
        raise lmdb.DiskError('No space left on device')

    monkeypatch.setattr(lmdb, 'open', full)
    with pytest.raises(caffe.CaffeError, match='db: cannot be written'):
        with new_database('db', backend_named('lmdb')) as put:
            put(b'a', b'b')
    assert os.listdir() == []


def small_files():
    """No file of this process may grow beyond 20000 bytes; writing more fails as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))


@pytest.mark.parametrize('backend', ['lmdb', 'leveldb'])
@pytest.mark.parametrize('tool', ['convert_imageset', 'extract_features'])
def test_tools_on_a_full_disk_end_in_one_line_and_leave_nothing(folder, tool, backend):
    if backend == 'leveldb':
        pytest.importorskip('plyvel')
    Path('net.prototxt').write_text("""layer { name: "x" type: "DummyData" top: "x"
        dummy_data_param { shape { dim: 50 dim: 100 } data_filler { type: "gaussian" } } }
        layer { name: "y" type: "Power" bottom: "x" top: "y" }""")
    caffe.Net('net.prototxt', caffe.TEST).save('none.caffemodel')
    before = sorted(os.listdir())
    arguments = {
        'convert_imageset': ['-resize_width=200', '-resize_height=100', f'-backend={backend}', 'p/', 'list.txt', 'db'],
        'extract_features': ['none.caffemodel', 'net.prototxt', 'y', 'db', '5', backend],
    }[tool]
    done = subprocess.run(
        [sys.executable, '-m', f'caffe.cli.{tool}', *arguments],
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        env={**os.environ, 'GLOG_minloglevel': '1'},
    )
    assert done.returncode == 1 and done.stderr.count('\n') == 1, done.stderr
    assert done.stderr.startswith(f'{tool}: db: cannot be written')
    assert sorted(os.listdir()) == before


def annotations(path):
    """[(key, AnnotatedDatum)] of a whole database."""
    reader, out = open_reader(path, backend_named('lmdb')), []
    while not out or reader.peek()[0] != out[0][0]:
        key, fetch = reader.step()
        out.append((key, caffe_pb2.AnnotatedDatum.FromString(fetch())))
    return out


VOC = """<annotation><object><name>face</name><difficult>1</difficult>
  <bndbox><xmin>0</xmin><ymin>0</ymin><xmax>7</xmax><ymax>4.5</ymax></bndbox></object></annotation>"""


def test_convert_annoset_reads_voc_and_text_boxes_in_units_of_the_picture(folder):
    Path('labels').write_text('item { name: "none" label: 0 } item { name: "face" label: 1 }')
    Path('p/0.xml').write_text(VOC)
    Path('p/1.txt').write_text('2 0 0 3.5 9\n5 0 0 7 9\n2 3.5 0 7 9\n')
    Path('boxes.txt').write_text('0.png 0.xml\n1.png 1.txt\n')
    line = '--label_map_file labels --resize_width 14 --resize_height 6 p/ boxes.txt db'
    assert convert_imageset.annoset(line.split()) == 0
    (key, first), (_, second) = annotations('db')
    assert key == b'00000000_0.png' and first.type == first.BBOX
    assert (first.datum.height, first.datum.width) == (6, 14)
    box = first.annotation_group[0].annotation[0].bbox
    assert first.annotation_group[0].group_label == 1 and box.difficult
    assert (box.xmin, box.ymin, box.xmax, box.ymax) == (0, 0, 1, 0.5)
    groups = {group.group_label: [one.instance_id for one in group.annotation] for group in second.annotation_group}
    assert groups == {2: [0, 1], 5: [0]}


@pytest.mark.parametrize(
    'name, text, told',
    [
        ('0.xml', VOC.replace('face', 'car'), "'car' is not in the label map"),
        ('0.xml', VOC.replace('xmax', 'x'), 'bndbox'),
        ('0.xml', '<annotation>', 'no XML'),
        ('0.txt', '1 0 0 7\n', '0.txt:1'),
        ('0.txt', '1 5 0 2 9\n', 'in order'),
        ('0.txt', None, 'cannot be read'),
    ],
)
def test_convert_annoset_leaves_out_what_has_no_valid_boxes_and_says_so(folder, capsys, name, text, told):
    Path('labels').write_text('item { name: "none" label: 0 } item { name: "face" label: 1 }')
    if text:
        Path(f'p/{name}').write_text(text)
    Path('p/1.txt').write_text('1 0 0 7 9\n')
    Path('boxes.txt').write_text(f'0.png {name}\n1.png 1.txt\n')
    assert convert_imageset.annoset('--label_map_file labels p/ boxes.txt db'.split()) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if 'left out' in line]
    assert len(warnings) == 1 and told in warnings[0] and 'boxes.txt:1' in warnings[0]
    assert [key for key, _ in annotations('db')] == [b'00000001_1.png']


@pytest.mark.parametrize(
    'line, told',
    [
        ('--anno_type=classification p/ boxes.txt db', 'detection'),
        ('p/ list.txt db', 'none of 5 pictures'),
        ('p/ three.txt db', 'three.txt:1'),
        ('--label_map_file twice p/ boxes.txt db', "'face' 2 times"),
    ],
)
def test_convert_annoset_says_what_is_wrong_with_a_command(folder, capsys, line, told):
    Path('boxes.txt').write_text('0.png 0.xml\n')
    Path('three.txt').write_text('0.png 0.xml 1\n')
    Path('twice').write_text('item { name: "face" label: 0 } item { name: "face" label: 1 }')
    one_line(capsys, convert_imageset.annoset(line.split()), told)
    assert not Path('db').exists()
