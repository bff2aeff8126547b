import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from repository import ROOT, SHARED
from sphereslim.data.pictures import PictureError, read_picture
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.facedata.alignment import detection, landmarks
from sphereslim.facedata.alignment.mtcnn import convert
from sphereslim.facedata.alignment.mtcnn.boxes import regress, square, suppress
from sphereslim.facedata.alignment.mtcnn.detector import Faces, detect, nearest_centre
from sphereslim.facedata.alignment.mtcnn.networks import NAMES, PROTOTXT, Networks, as_input, cut
from sphereslim.facedata.alignment.mtcnn.proposals import scales
from sphereslim.facedata.alignment.mtcnn.settings import Settings
from sphereslim.files import only_one_at

LOOSE = Settings(thresholds=(0.5, 0.5, 0.5))  # lets networks with random weights find something


@pytest.fixture(scope='module')
def untrained(tmp_path_factory):
    """A folder with caffemodels of random weights."""
    folder = tmp_path_factory.mktemp('untrained')
    caffe.set_random_seed(4)
    rng = np.random.default_rng(4)
    for name in NAMES:
        net = caffe.Net(str(PROTOTXT / f'{name}.prototxt'), caffe.TEST)
        for blobs in net.params.values():
            fan_in = blobs[0].data[0].size
            for blob in blobs:
                blob.data[...] = rng.normal(0, 1.2 / np.sqrt(fan_in), blob.data.shape)
        net.save(str(folder / f'{name}.caffemodel'))
    return folder


@pytest.fixture(scope='module')
def published():
    """The folder of published weights and pictures."""
    folder = SHARED / 'data' / 'mtcnn'
    if not (folder / 'det1.caffemodel').is_file():
        pytest.skip(f'{folder}: no published MTCNN weights there (set SHARED)')
    return folder


def noise(count, size=48, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def test_suppression_keeps_the_best_of_overlapping_boxes():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [2, 2, 6, 6]], float)
    scores = np.array([0.8, 0.9, 0.3, 0.7])
    assert suppress(boxes, scores, 0.5).tolist() == [1, 3, 2]  # 0 and 1 share 90 of 110
    assert suppress(boxes, scores, 0.9).tolist() == [1, 0, 3, 2]
    assert suppress(boxes, scores, 0.5, of_smaller=True).tolist() == [1, 2]  # box 3 lies inside box 1
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


def test_regression_and_squares():
    boxes = np.array([[10, 20, 30, 60]], float)
    assert regress(boxes, np.array([[0.1, -0.1, 0.5, 0.25]])).tolist() == [[12, 16, 40, 70]]
    assert square(boxes).tolist() == [[0, 20, 40, 60]]


def test_the_pyramid_goes_from_the_smallest_face_to_the_whole_picture():
    found = scales(100, 200, 20, 0.85)
    assert found[0] == 12 / 20
    assert np.allclose(np.divide(found[1:], found[:-1]), 0.85)
    assert 100 * found[-1] >= 12 > 100 * found[-1] * 0.85
    assert scales(15, 200, 20, 0.85) == []


def test_inputs_are_rgb_and_have_width_before_height():
    image = np.zeros((1, 4, 6, 3), np.uint8)
    image[0, 1, 5] = (0, 255, 51)
    inputs = as_input(image)
    assert inputs.shape == (1, 3, 6, 4)
    assert np.allclose(inputs[0, :, 5, 1], (np.array([51, 255, 0]) - 127.5) / 128)


def test_parts_beyond_the_edge_are_black():
    image = np.full((10, 10, 3), 200, np.uint8)
    assert np.array_equal(cut(image, (2, 3, 6, 7), 4), image[:4, :4])
    part = cut(image, (-2, -2, 4, 4), 6)
    assert (part[:2] == 0).all() and (part[:, :2] == 0).all() and (part[2:, 2:] == 200).all()
    assert (cut(image, (12, 12, 18, 18), 6) == 0).all()


def test_the_face_nearest_the_centre_counts():
    boxes = np.array([[0, 0, 20, 20], [40, 30, 70, 60], [80, 80, 99, 99]], float)
    faces = Faces(boxes, np.array([0.99, 0.91, 0.95]), np.zeros((3, 5, 2)))
    assert nearest_centre(faces, (100, 100, 3)) == 1


def test_pictures_do_not_disturb_each_other_in_a_batch(untrained):
    networks = Networks(untrained)
    images = [*noise(3), *noise(2, 60, seed=1), np.zeros((8, 8, 3), np.uint8)]
    together = detect(networks, images, LOOSE)
    assert sum(len(faces.scores) for faces in together) > 0
    for image, faces in zip(images, together):
        alone = detect(networks, [image], LOOSE)[0]
        assert np.allclose(alone.boxes, faces.boxes, atol=1e-3) and np.allclose(alone.points, faces.points, atol=1e-3)


def test_conversion_agrees_with_the_package_s_own_way_of_computing(tmp_path, monkeypatch):
    """The package sees pictures upright with channels last; torch computes its networks here in that layout."""
    rng = np.random.default_rng(2)
    weights = {}
    for name in NAMES:
        net = caffe.Net(str(PROTOTXT / f'{name}.prototxt'), caffe.TEST)
        layers = [layer for layer in net.params if layer not in convert.HEADS[name]] + list(convert.HEADS[name])
        shapes = [blob.data.shape for layer in layers for blob in net.params[layer]]
        weights[name] = [
            rng.normal(0, 0.2, s if len(s) < 3 else s[2:] + (s[1], s[0])).astype(np.float32)
            for s in (s[::-1] if len(s) == 2 else s for s in shapes)
        ]
    monkeypatch.setattr(convert, '_package_weights', lambda: weights)
    networks = Networks(convert.converted(tmp_path / 'weights'))
    for name, size, poolings in (
        ('det1', 12, [(2, 2)]),
        ('det2', 24, [(3, 2), (3, 2)]),
        ('det3', 48, [(3, 2), (3, 2), (2, 2)]),
    ):
        images = np.stack(noise(2, size))
        outputs = networks.run(name, images)
        box = upright(weights[name], images, poolings)
        assert np.allclose(outputs[convert.HEADS[name][0]].reshape(box.shape), box, atol=1e-3)


def upright(arrays, images, poolings):
    """The box corrections (first head) of a network stored in the package's layout."""
    arrays = [torch.from_numpy(a) for a in arrays]
    x = (torch.from_numpy(images[..., ::-1].copy()).float().permute(0, 3, 1, 2) - 127.5) / 128
    heads = 2 if arrays[-2].ndim == 4 else (3 if len(poolings) == 3 else 2)
    body, first_head = arrays[: -2 * heads], arrays[-2 * heads : -2 * heads + 2]
    for kernel, bias, slope in zip(body[0::3], body[1::3], body[2::3]):
        if kernel.ndim == 4:
            x = torch.conv2d(x, kernel.permute(3, 2, 0, 1), bias)
        else:
            x = x.permute(0, 3, 2, 1).reshape(len(x), -1) @ kernel + bias  # places in the order x, y, channel
        x = torch.prelu(x, slope.reshape(-1))
        if poolings and x.ndim == 4:
            x = torch.max_pool2d(x, *poolings.pop(0), ceil_mode=True)
    kernel, bias = first_head
    return (x.reshape(len(x), -1) @ kernel.reshape(-1, 4) + bias).numpy()


def test_what_the_networks_answer_is_what_genuine_caffe_says(published):
    golden = SHARED / 'goldens' / 'trajectories' / 'mtcnn.npz'
    if not golden.is_file():
        pytest.skip(f'{golden}: not there (set SHARED)')
    expected = np.load(golden)
    networks = Networks(published)
    for name in NAMES:
        net = networks.nets[name]
        net.blobs['data'].reshape(*expected[f'{name}/in'].shape)
        net.blobs['data'].data[...] = expected[f'{name}/in']
        for blob, values in net.forward().items():
            assert np.allclose(values, expected[f'{name}/{blob}'], atol=1e-4)


def test_faces_that_a_person_sees(published):
    """Where the eyes and mouths are was read off the pictures by eye."""
    seen = {
        'test1.jpg': [(112, 49, 138, 49, 122, 80), (311, 121, 336, 118, 328, 150)],
        'test2.jpg': [(217, 159, 274, 139, 266, 220)],
    }
    for name, faces in seen.items():
        found = detect(Networks(published), [read_picture(published / name)])[0]
        assert len(found.scores) == len(faces)
        middles = np.column_stack([found.points[:, :2].reshape(-1, 4), found.points[:, 3:].mean(1)])
        for face in faces:
            assert np.abs(middles - face).max(1).min() < 8


def odd_pictures(folder):
    """Pictures of all kinds of one scene, and files that are none."""
    scene = cv2.GaussianBlur(noise(1, 64, seed=7)[0], (0, 0), 5)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
    folder.mkdir()
    cv2.imwrite(str(folder / 'plain.png'), scene)
    cv2.imwrite(str(folder / 'deep.png'), scene.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / 'grey.png'), scene[..., 1])
    cv2.imwrite(str(folder / 'clear.png'), np.dstack([scene, np.full(scene.shape[:2], 90, np.uint8)]))
    upright_rgb = Image.fromarray(scene[..., ::-1].copy())
    upright_rgb.convert('CMYK').save(folder / 'cmyk.jpg', quality=98)
    exif = Image.Exif()
    exif[0x112] = 6  # "turn clockwise to show"
    upright_rgb.rotate(90).save(folder / 'turned.jpg', exif=exif, quality=98)
    whole = cv2.imencode('.jpg', scene)[1].tobytes()
    (folder / 'short.jpg').write_bytes(whole[: len(whole) // 2])
    (folder / 'no_end.jpg').write_bytes(whole[:-20])
    (folder / 'text.jpg').write_text('no picture')
    (folder / 'empty.png').touch()
    return scene


def test_every_kind_of_picture_is_read_or_named(tmp_path):
    scene = odd_pictures(tmp_path / 'odd')
    for name, limit in (('plain.png', 0), ('deep.png', 0), ('clear.png', 0), ('cmyk.jpg', 6), ('turned.jpg', 4)):
        image = read_picture(tmp_path / 'odd' / name)
        assert image.shape == scene.shape and image.dtype == np.uint8, name
        assert np.abs(image.astype(int) - scene).mean() <= limit, name
    assert np.array_equal(read_picture(tmp_path / 'odd' / 'grey.png')[..., 2], scene[..., 1])
    for name in ('short.jpg', 'no_end.jpg', 'text.jpg', 'empty.png', 'absent.png'):
        with pytest.raises(PictureError, match=f'{name}: (is|cannot)'):
            read_picture(tmp_path / 'odd' / name)


def run(script, *words):
    return subprocess.run(
        [sys.executable, ROOT / 'preprocess' / script, *map(str, words)], capture_output=True, text=True
    )


def test_no_picture_is_lost(tmp_path, untrained):
    odd_pictures(tmp_path / 'odd')
    (tmp_path / 'odd' / 'a person').mkdir()
    shutil.copy(tmp_path / 'odd' / 'plain.png', tmp_path / 'odd' / 'a person' / '1 2.png')
    told = run(
        'detect.py',
        tmp_path / 'odd',
        '--out',
        tmp_path / 'out' / 'list.txt',
        '--mtcnn',
        untrained,
        '--workers',
        2,
        '--batch',
        2,
        '--thresholds',
        '0.5',
        '0.5',
        '0.5',
    )
    assert told.returncode == 0, told.stderr
    points, missing = landmarks.read(tmp_path / 'out' / 'list.txt')
    names = {path.relative_to(tmp_path / 'odd').as_posix() for path in (tmp_path / 'odd').rglob('*.*')}
    assert set(points) | set(missing) == names and not set(points) & set(missing)
    assert {'short.jpg', 'no_end.jpg', 'text.jpg', 'empty.png'} <= set(missing)
    assert missing['empty.png'] == 'is empty'
    assert 'short.jpg' in told.stdout


def test_an_interrupted_detection_continues(tmp_path, untrained):
    folder = tmp_path / 'faces'
    folder.mkdir()
    for number, image in enumerate(noise(7)):
        cv2.imwrite(str(folder / f'{number}.png'), image)
    job = detection.Job(str(folder), str(untrained), LOOSE)
    detection.detect_folder(job, tmp_path / 'whole.txt', batch=2)

    def stop_after_three(lines, total, done):
        for number, line in enumerate(lines):
            if number == 3:
                raise KeyboardInterrupt
            yield line

    with pytest.raises(KeyboardInterrupt):
        detection.detect_folder(job, tmp_path / 'list.txt', batch=2, progress=stop_after_three)
    with open(tmp_path / 'list.txt', 'a') as file:
        file.write('3.png\t12.5\t7')  # a line that the machine's end cut off
    before = []

    def note(lines, total, done):
        before.append((total, done))
        return lines

    with only_one_at(tmp_path / 'list.txt'), pytest.raises(SlimError, match='list.txt: another process is at work'):
        detection.detect_folder(job, tmp_path / 'list.txt', batch=2)
    found, missing = detection.detect_folder(job, tmp_path / 'list.txt', batch=2, progress=note)
    assert before == [(7, 3)] and found + len(missing) == 7
    assert (tmp_path / 'list.txt').read_text() == (tmp_path / 'whole.txt').read_text()


def test_landmark_lists_of_all_forms(tmp_path):
    path = tmp_path / 'list.txt'
    points = np.arange(10).reshape(5, 2) + 0.25
    path.write_text(
        landmarks.found_line('A/a 1.jpg', (1, 2, 3, 4), 0.987654321, points)
        + landmarks.missing_line('B/b.jpg', 'no face found')
        + 'C/c.jpg '
        + ' '.join(map(str, points.ravel()))
        + '\n'
        + 'D/d.jpg\t'
        + '\t'.join(map(str, range(10)))
        + '\n'
    )
    found, missing = landmarks.read(path)
    assert missing == {'B/b.jpg': 'no face found'} and set(found) == {'A/a 1.jpg', 'C/c.jpg', 'D/d.jpg'}
    assert np.array_equal(found['A/a 1.jpg'], points) and np.array_equal(found['C/c.jpg'], points)
    for bad in ('x.jpg 1 2 3\n', 'x.jpg ' + 'a ' * 10 + '\n', 'x.jpg ' + 'nan ' * 10 + '\n'):
        path.write_text('ok.jpg ' + '1 ' * 10 + '\n' + bad)
        with pytest.raises(SlimError, match='list.txt:2: '):
            landmarks.read(path)


@pytest.mark.parametrize(
    'words, message',
    [
        (('none', '--out', 'l.txt', '--mtcnn', 'w'), 'none: no such folder'),
        (('.', '--out', 'l.txt', '--mtcnn', 'w'), 'no pictures'),
        (('f', '--out', 'l.txt', '--mtcnn', 'w'), 'w/det1.caffemodel'),
        pytest.param(
            ('f', '--out', 'l.txt', '--mtcnn', 'w', '--gpu', '0', '--workers', '2'),
            'no CUDA device',
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU'),
        ),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    if words[0] == 'f':
        (tmp_path / 'f' / 'person').mkdir(parents=True)
        cv2.imwrite('f/person/1.png', noise(1)[0])
    told = run('detect.py', *words)
    assert told.returncode == 1 and len(told.stderr.strip().splitlines()) == 1, told.stderr
    assert told.stderr.startswith('error: ') and message in told.stderr


@pytest.mark.parametrize(
    'option, expected',
    [
        ('--batch 0', 'expected a whole number of at least 1'),
        ('--min-size nan', 'expected at least 12'),
        ('--factor nan', 'expected between 0 and 1'),
    ],
)
def test_numbers_that_make_no_sense_are_refused(option, expected):
    done = subprocess.run(
        [sys.executable, ROOT / 'preprocess/detect.py', 'none', '--out', 'none', *option.split()],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and expected in done.stderr
