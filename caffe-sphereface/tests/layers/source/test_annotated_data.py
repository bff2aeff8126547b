"""AnnotatedData: what becomes of the boxes of a picture that is cut, resized, mirrored or laid into a larger one."""

from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.data.annotated.annotation_files import ObjectBox
from caffe.data.annotated.annotations import annotated
from caffe.errors import CaffeError
from databases import net, write
from gpu_mode import gpu_mode

HEIGHT, WIDTH = 40, 60


def picture(boxes):
    """Black with white boxes (xmin, ymin, xmax, ymax) in pixels."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for xmin, ymin, xmax, ymax in boxes:
        image[ymin:ymax, xmin:xmax] = 255
    return image


def record(boxes, encoded=True, **fields):
    """An AnnotatedDatum, as bytes, of white boxes labelled 3."""
    image = picture(boxes)
    datum = caffe.proto.caffe_pb2.Datum(**fields)
    if encoded:
        datum.data, datum.encoded = cv2.imencode('.png', image)[1].tobytes(), True
    else:
        datum.channels, datum.height, datum.width = 3, HEIGHT, WIDTH
        datum.data = image.transpose(2, 0, 1).tobytes()
    return annotated(datum, [ObjectBox(3, *box) for box in boxes], HEIGHT, WIDTH).SerializeToString()


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Makes the database `db` of records in a new working folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *records: write('db', records)


def made(transform='', annotated_data='', batch=1, phase=caffe.TRAIN):
    return net(
        f"""layer {{ name: "d" type: "AnnotatedData" top: "data" top: "label" transform_param {{ {transform} }}
            annotated_data_param {{ {annotated_data} }}
            data_param {{ source: "db" batch_size: {batch} backend: LMDB }} }}""",
        phase,
    )


def found(data):
    """(xmin, ymin, xmax, ymax) of what is white in a picture (3, H, W), in units of its sides."""
    rows, columns = np.nonzero(data.mean(0) > 127)
    height, width = data.shape[1:]
    return np.array(
        [columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height]
    )


def agrees(data, row, pixels=1.1):
    """Whether a row of boxes says where the white of a picture is, to within some pixels."""
    return np.abs(found(data) - row[3:7]).max() <= pixels / min(data.shape[1:])


@pytest.mark.parametrize('encoded', [True, False])
def test_rows_are_image_label_instance_corners_and_difficult(database, encoded):
    database(record([(6, 8, 30, 20), (42, 10, 60, 40)], encoded), record([(0, 0, 60, 20)], encoded))
    loaded = made(batch=2)
    loaded.forward()
    assert loaded.blobs['data'].shape == (2, 3, HEIGHT, WIDTH)
    assert np.allclose(
        loaded.blobs['label'].data[0, 0],
        [[0, 3, 0, 0.1, 0.2, 0.5, 0.5, 0], [0, 3, 1, 0.7, 0.25, 1, 1, 0], [1, 3, 0, 0, 0, 1, 0.5, 0]],
    )


def test_a_batch_without_boxes_has_one_row_of_minus_one(database):
    database(record([]))
    loaded = made()
    loaded.forward()
    assert np.array_equal(loaded.blobs['label'].data, np.full((1, 1, 1, 8), -1))


def test_records_without_a_type_give_their_labels(database):
    datum = caffe.proto.caffe_pb2.AnnotatedDatum.FromString(record([(6, 8, 30, 20)], label=7))
    datum.ClearField('type')
    database(datum.SerializeToString())
    loaded = made()
    loaded.forward()
    assert loaded.blobs['label'].data.tolist() == [7]
    assert made(annotated_data='anno_type: BBOX').blobs['label'].shape == (1, 1, 1, 8)


@pytest.mark.parametrize(
    'transform',
    [
        'resize_param { height: 64 width: 32 }',
        'resize_param { resize_mode: FIT_SMALL_SIZE height: 64 width: 64 }',
        'resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 64 width: 64 pad_value: 20 }',
        'resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 40 width: 90 pad_mode: REPEAT_NEAREST }',
        'resize_param { height: 48 width: 48 interp_mode: AREA interp_mode: NEAREST interp_mode: CUBIC }',
        'resize_param { height: 48 width: 64 interp_mode: LANCZOS4 interp_mode: LINEAR }',
        'crop_size: 36',
        'crop_h: 36 crop_w: 50 mirror: true',
        'mirror: true',
        'expand_param { prob: 1 max_expand_ratio: 3 } mean_value: 10',
        'expand_param { max_expand_ratio: 2 } mirror: true resize_param { height: 64 width: 64 }',
    ],
)
def test_boxes_follow_the_picture(database, transform):
    database(record([(12, 10, 40, 30)]))
    loaded = made(transform)
    for _ in range(4):
        loaded.forward()
        assert agrees(loaded.blobs['data'].data[0], loaded.blobs['label'].data[0, 0, 0])


def test_boxes_follow_random_windows_that_meet_the_constraint(database):
    database(record([(12, 10, 40, 30)]))
    sampler = """batch_sampler { sampler { min_scale: 0.7 max_scale: 0.9 min_aspect_ratio: 0.5 max_aspect_ratio: 2 }
                 sample_constraint { min_object_coverage: 0.6 } max_sample: 1 max_trials: 50 }"""
    loaded = made('resize_param { height: 96 width: 96 }', sampler)
    rows = []
    for _ in range(12):
        loaded.forward()
        rows.append(loaded.blobs['label'].data[0, 0, 0].copy())
        assert agrees(loaded.blobs['data'].data[0], rows[-1], pixels=8)
    assert len(np.unique(np.stack(rows).round(3), axis=0)) > 6


def test_samplers_that_find_nothing_leave_the_picture_whole(database):
    database(record([(12, 10, 40, 30)]))
    loaded = made('', 'batch_sampler { sample_constraint { min_jaccard_overlap: 0.99 } max_trials: 5 }')
    loaded.forward()
    assert np.allclose(loaded.blobs['label'].data[0, 0, 0, 3:7], [0.2, 0.25, 2 / 3, 0.75])


def test_emit_constraint_drops_boxes_of_which_too_little_is_left(database):
    database(record([(0, 0, 20, 40), (26, 10, 34, 30)]))
    for constraint, left in (('', 2), ('emit_type: CENTER', 1), ('emit_type: MIN_OVERLAP emit_overlap: 0.3', 2)):
        emit = f'emit_constraint {{ {constraint} }}' if constraint else ''
        loaded = made(f'crop_h: 40 crop_w: 32 {emit}', phase=caffe.TEST)  # columns 14 to 46, 30 % of the first box
        loaded.forward()
        count = loaded.blobs['label'].shape[2]
        assert count == (1 if constraint.startswith('emit_type: MIN') else left)


def test_distortion_changes_colours_and_no_boxes(database):
    database(record([(12, 10, 40, 30)]))
    distort = """distort_param { brightness_prob: 1 brightness_delta: 30 contrast_prob: 1 contrast_lower: 0.7
        contrast_upper: 0.9 saturation_prob: 1 saturation_lower: 0.5 saturation_upper: 1.5 hue_prob: 1 hue_delta: 18
        random_order_prob: 1 }"""
    loaded = made(distort)
    pictures = []
    for _ in range(3):
        loaded.forward()
        pictures.append(loaded.blobs['data'].data[0].copy())
        assert agrees(pictures[-1], loaded.blobs['label'].data[0, 0, 0])
    assert not np.array_equal(pictures[0], pictures[1])


def test_the_same_seed_gives_the_same_batches_whatever_the_number_of_workers(database, monkeypatch):
    database(*[record([(12 + i, 10, 40, 30)]) for i in range(9)])
    transform = 'mirror: true expand_param { max_expand_ratio: 2 } resize_param { height: 32 width: 32 }'
    runs = []
    for workers in ('1', '3'):
        monkeypatch.setenv('CAFFE_DATA_WORKERS', workers)
        caffe.set_random_seed(5)
        loaded = made(transform, 'batch_sampler { sampler { min_scale: 0.5 } max_sample: 2 max_trials: 10 }', batch=9)
        loaded.forward()
        runs.append((loaded.blobs['data'].data.copy(), loaded.blobs['label'].data.copy()))
    assert all(np.array_equal(one, other) for one, other in zip(*runs))


def test_a_gpu_gets_the_same_batches(database):
    database(*[record([(12 + i, 10, 40, 30)] * (i % 3)) for i in range(7)])
    transform = 'mirror: true mean_value: 10 scale: 0.5 resize_param { height: 32 width: 32 } crop_size: 30'
    runs = []
    for mode in (nullcontext, gpu_mode):
        with mode():
            caffe.set_random_seed(5)
            loaded = made(transform, batch=3)
            for _ in range(3):
                loaded.forward()
                runs.append((loaded.blobs['data'].data.copy(), loaded.blobs['label'].data.copy()))
    for one, other in zip(runs[:3], runs[3:]):
        assert all(np.array_equal(a, b) for a, b in zip(one, other))


@pytest.mark.parametrize(
    'transform, annotated_data, told',
    [
        ('resize_param { height: 20 }', '', 'expected both'),
        ('resize_param { height: 20 width: 20 prob: 0.5 }', '', 'prob 0.5'),
        ('noise_param { prob: 0.1 inverse: true }', '', 'noise_param'),
        ('crop_h: 20', '', 'crop_h and crop_w'),
        ('crop_h: 20 crop_w: 99', '', 'larger than the picture'),
        ('distort_param { contrast_prob: 1 contrast_lower: 2 contrast_upper: 1 }', '', 'contrast_lower'),
        ('', 'batch_sampler { sampler { min_scale: 0.5 max_scale: 1.5 } }', 'batch_sampler 0'),
        ('', 'batch_sampler { sampler { min_aspect_ratio: 2 } }', 'min_aspect_ratio'),
    ],
)
def test_what_is_impossible_or_not_there_is_refused_by_name(database, transform, annotated_data, told):
    database(record([(12, 10, 40, 30)]))
    with pytest.raises(CaffeError, match=told) as error:
        made(transform, annotated_data)
    assert "layer 'd'" in str(error.value)


def test_a_database_of_plain_datums_is_told_apart(database):
    database(caffe.proto.caffe_pb2.Datum(channels=1, height=2, width=2, data=b'abcd', label=1).SerializeToString())
    with pytest.raises(CaffeError, match='AnnotatedDatum'):
        made()


def test_resize_param_holds_for_other_data_layers_too(database):
    datum = caffe.proto.caffe_pb2.AnnotatedDatum.FromString(record([(12, 10, 40, 30)])).datum
    database(datum.SerializeToString())
    loaded = net("""layer { name: "d" type: "Data" top: "data" data_param { source: "db" batch_size: 1 backend: LMDB }
                    transform_param { resize_param { height: 20 width: 30 } } }""")
    loaded.forward()
    assert loaded.blobs['data'].shape == (1, 3, 20, 30)
    assert np.abs(found(loaded.blobs['data'].data[0]) - [0.2, 0.25, 2 / 3, 0.75]).max() < 0.06


YOLO = 'yolo_data_type: 1 '
SIZES = """emit_constraint { } resize_param { prob: 0.5 height: 24 width: 36 interp_mode: NEAREST }
    resize_param { prob: 0.5 resize_mode: FIT_LARGE_SIZE_AND_PAD height: 48 width: 48 interp_mode: NEAREST }"""


def test_yolo_gets_the_class_the_centre_and_the_size_of_each_box_and_zeros(database):
    database(record([(6, 8, 30, 20), (45, 10, 60, 40)]), record([]))
    labels = made(annotated_data=YOLO + 'yolo_data_jitter: 0', batch=2).forward()['label']
    assert labels.shape == (2, 1, 300, 5) and not labels[0, 0, 2:].any() and not labels[1].any()
    np.testing.assert_allclose(labels[0, 0, 0], [2, 18 / 60, 14 / 40, 24 / 60, 12 / 40], rtol=1e-5)
    np.testing.assert_allclose(labels[0, 0, 1], [2, 52.5 / 60, 25 / 40, 15 / 60, 30 / 40], rtol=1e-5)


@pytest.mark.parametrize('phase', [caffe.TRAIN, caffe.TEST])
def test_yolo_s_pictures_are_jittered_and_of_one_size_in_each_batch(database, phase):
    database(*(record([(20, 12, 40, 26)]) for _ in range(3)))
    data, sizes, widths = made('mirror: true ' + SIZES, YOLO + 'yolo_data_jitter: 0.3', 3, phase), set(), set()
    for _ in range(60):
        top = data.forward()
        sizes.add(top['data'].shape[2:])
        for picture, (_, x, y, w, h) in zip(top['data'], top['label'][:, 0, 0]):
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            assert np.abs(found(picture) - corners).max() < 0.09
            widths.add(round(float(w), 3))
    assert sizes == {(24, 36), (48, 48)} and len(widths) > 10 and min(widths) == pytest.approx(1 / 3, abs=0.01)


def test_samplers_stand_in_for_yolo_s_jitter(database):
    database(record([(20, 12, 40, 26)]))
    data = made(annotated_data=YOLO + 'yolo_data_jitter: 0.9 batch_sampler { max_sample: 1 max_trials: 1 }')
    assert all(data.forward()['label'][0, 0, 0, 3] == pytest.approx(1 / 3) for _ in range(5))


def test_difficult_boxes_can_be_left_out_of_yolo_s_labels(database):
    datum = caffe.proto.caffe_pb2.AnnotatedDatum.FromString(record([(20, 12, 40, 26), (1, 1, 9, 9)]))
    datum.annotation_group[0].annotation[0].bbox.difficult = True
    database(datum.SerializeToString())
    for options, count in (('', 2), ('train_diffcult: false', 1)):
        labels = made(annotated_data=f'{YOLO} yolo_data_jitter: 0 {options}').forward()['label']
        assert (labels[0, 0, :, 3] > 0).sum() == count


@pytest.mark.parametrize(
    'transform, options, message',
    [
        ('', 'yolo_data_type: 2', 'yolo_data_type is 2, expected 0 or 1'),
        ('', YOLO + 'yolo_data_jitter: 1', 'yolo_data_jitter is 1, expected 0 or more and below 1'),
        (SIZES.replace('0.5', '0.3'), YOLO, 'resize_param has prob 0.3, 0.3, expected a sum of 1'),
        ('resize_param { prob: 0.3 height: 9 width: 9 }', '', 'resize_param has prob 0.3, expected a sum of 1'),
        (
            '',
            YOLO + 'yolo_data_jitter: 0',
            r"record '00000000': has 301 boxes, expected 300 or fewer with yolo_data_type",
        ),
    ],
)
def test_what_yolo_cannot_have_is_refused_in_a_line(database, transform, options, message):
    database(record([(1, 1, 9, 9)] * 301))
    with pytest.raises(CaffeError, match=message):
        made(transform, options)


def labelled(boxes, values):
    """A record with labels of pixels, `values` in the boxes and 0 elsewhere."""
    datum = caffe.proto.caffe_pb2.AnnotatedDatum.FromString(record(boxes))
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for (xmin, ymin, xmax, ymax), value in zip(boxes, values):
        labels[ymin:ymax, xmin:xmax] = value
    datum.datum.seg_label = cv2.imencode('.png', labels)[1].tobytes()
    datum.type = datum.BBOXandSeg
    return datum.SerializeToString()


def made_with_pixels(transform, options, batch=1):
    return net(
        f"""layer {{ name: "d" type: "AnnotatedData" top: "data" top: "label" top: "pixels"
            transform_param {{ {transform} }} annotated_data_param {{ {options} }}
            data_param {{ source: "db" batch_size: {batch} backend: LMDB }} }}""",
        caffe.TRAIN,
    )


MAP = """item { name: "nothing" label: 0 label_id: 0 } item { name: "road" label: 7 label_id: 2 }
    item { name: "car" label: 8 label_id: 1 } item { name: "bus" label: 9 label_id: 1 }"""
FIXED = 'emit_constraint { } resize_param { height: 40 width: 80 }'


@pytest.mark.parametrize('yolo', ['', YOLO + 'yolo_data_jitter: 0'])
def test_a_third_top_says_how_much_of_each_pixel_each_class_covers(database, yolo):
    Path('map').write_text(MAP)
    boxes = [(0, 0, 30, 20), (30, 20, 60, 40), (30, 0, 60, 10)]
    database(labelled(boxes, (1, 3, 2)), labelled([], ()))
    top = made_with_pixels(FIXED, f'{yolo} single_class: false seg_scales: 10 label_map_file: "map"', 2).forward()
    assert top['pixels'].shape == (2, 2, 4, 8)
    road, cars = np.zeros((4, 8)), np.zeros((4, 8))
    road[:2, :4] = 1
    cars[2:, 4:] = cars[:1, 4:] = 1
    np.testing.assert_allclose(top['pixels'], [[cars, road], np.zeros((2, 4, 8))], atol=1e-6)
    if yolo:
        assert (top['label'][:, 0, :, 3] > 0).sum(1).tolist() == [3, 0]
    else:
        assert top['label'].shape == (1, 1, 3, 8) and top['label'][0, 0, :, 0].tolist() == [0, 0, 0]


def test_pixels_are_cut_and_mirrored_as_the_picture(database):
    database(labelled([(20, 12, 40, 26)], [255]))
    data = made_with_pixels('mirror: true ' + FIXED, YOLO + 'yolo_data_jitter: 0.4 seg_scales: 2')
    for _ in range(8):
        top = data.forward()
        assert top['pixels'].shape == (1, 1, 20, 40) and set(np.unique(top['pixels'])) == {0, 1}
        picture = cv2.resize(top['data'][0, 0], (40, 20), interpolation=cv2.INTER_AREA) > 127
        assert (picture != (top['pixels'][0, 0] > 0)).mean() < 0.06


@pytest.mark.parametrize(
    'transform, options, message',
    [
        (FIXED, 'single_class: false label_map_file: "map"', 'map: has no item with a label_id above 0'),
        (FIXED, 'seg_scales: 0', 'seg_scales is 0, expected at least 1'),
        ('crop_size: 9', '', 'has 3 tops, expected no crop, expand_param or FIT_LARGE_SIZE_AND_PAD'),
        (FIXED, '', "record '00000000': has no encoded seg_label, expected labels of pixels for the third top"),
    ],
)
def test_pixels_that_cannot_be_given_are_refused_in_a_line(database, transform, options, message):
    Path('map').write_text('item { name: "a" label: 0 }')
    database(record([(12, 10, 40, 30)]))
    with pytest.raises(CaffeError, match=message):
        made_with_pixels(transform, options)
