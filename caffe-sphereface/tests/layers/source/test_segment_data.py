"""VideoData of TSN: pictures or flow of the parts of a video."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError
from caffe.layers.source.segment_data import frame_numbers
from databases import net
from training_run import caffe_command

FRAMES = 12


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with two videos of 12 frames of 6x8: a picture's values are 100 · video + frame, flow's also 50
    more downwards."""
    monkeypatch.chdir(tmp_path)
    for video, name in enumerate('ab'):
        Path(name).mkdir()
        for frame in range(1, FRAMES + 1):
            write(f'{name}/img_{frame:05d}.jpg', np.full((6, 8, 3), 100 * video + frame, np.uint8))
            for axis, more in (('x', 0), ('y', 50)):
                write(f'{name}/flow_{axis}_{frame:04d}.jpg', np.full((6, 8), 100 * video + frame + more, np.uint8))
    Path('list.txt').write_text(f'a {FRAMES} 0\nb {FRAMES} 4\n')
    return tmp_path


def write(path, picture):
    """A picture that is exact, whatever its name says."""
    Path(path).write_bytes(cv2.imencode('.png', picture)[1].tobytes())


RGB = 'modality: RGB name_pattern: "img_%05d.jpg"'


def made(video=RGB, transform='', phase=caffe.TRAIN, batch=2):
    return net(
        f"""layer {{ name: "d" type: "VideoData" top: "data" top: "label" transform_param {{ {transform} }}
            video_data_param {{ source: "list.txt" batch_size: {batch} {video} }} }}""",
        phase,
    )


def test_test_takes_the_middle_of_each_part(folder):
    loaded = made(f'{RGB} num_segments: 3 new_length: 2', phase=caffe.TEST)
    loaded.forward()
    assert loaded.blobs['data'].shape == (2, 3 * 2 * 3, 6, 8)
    # parts of 4 frames, in which 2 can begin in 3 places
    assert loaded.blobs['data'].data[:, ::3, 0, 0].tolist() == [
        [2, 3, 6, 7, 10, 11],
        [102, 103, 106, 107, 110, 111],
    ]
    assert loaded.blobs['label'].data.tolist() == [0, 4]


def test_flow_has_a_plane_to_the_right_and_one_down_for_each_frame(folder):
    loaded = made('new_length: 3 num_segments: 2', phase=caffe.TEST, batch=1)
    loaded.forward()
    assert loaded.blobs['data'].data[0, :, 0, 0].tolist() == [3, 53, 4, 54, 5, 55, 9, 59, 10, 60, 11, 61]


def test_train_begins_anywhere_in_each_part(folder):
    loaded = made(f'{RGB} num_segments: 2 new_length: 2')
    firsts = [set(), set()]
    for _ in range(40):
        loaded.forward()
        starts = loaded.blobs['data'].data[0, [0, 6], 0, 0].astype(int)
        for seen, start in zip(firsts, starts):
            seen.add(int(start))
    assert firsts == [{1, 2, 3, 4, 5}, {7, 8, 9, 10, 11}]


def test_short_videos_give_the_second_frame_of_all_parts():
    assert frame_numbers(5, 3, 2, None) == [2, 3] * 3


def test_means_of_a_part_hold_for_all_parts(folder):
    loaded = made(f'{RGB} num_segments: 2', 'mean_value: [1, 2, 3]', caffe.TEST, 1)
    loaded.forward()
    assert loaded.blobs['data'].data[0, :, 0, 0].tolist() == [3, 2, 1, 9, 8, 7]


def test_mirrored_flow_to_the_right_is_reversed(folder):
    loaded = made('modality: FLOW', 'mirror: true is_flow: true crop_size: 4 fix_crop: true multi_scale: true', batch=1)
    sums = set()
    for _ in range(30):
        loaded.forward()
        right, down = loaded.blobs['data'].data[0, :, 0, 0]
        sums.add('reversed' if right + down == 255 + 50 else 'plain' if down - right == 50 else 'wrong')
    assert sums == {'reversed', 'plain'}


@pytest.mark.parametrize(
    'video, transform, told',
    [
        (f'{RGB} num_segments: 0', '', 'num_segments 0, new_length 0: expected at least 1'),
        (f'{RGB} new_height: 3', '', 'expected both or none'),
        (f'{RGB} rand_skip: 4000000000', '', 'rand_skip'),
        ('modality: RGB name_pattern: "img.jpg"', '', "name_pattern is 'img.jpg', expected one such as image_%05d.jpg"),
        ('name_pattern: "f_%d.jpg"', '', "name_pattern is 'f_%d.jpg', expected one such as flow_%c_%05d.jpg"),
        ('modality: RGB', '', 'list.txt:1: a/image_00'),
        (RGB, 'mean_value: [1, 2]', 'mean_value is given 2 times, expected once or 3 times'),
        (RGB, 'crop_size: 7', 'crop_size 7 is larger than the picture of 6x8'),
    ],
)
def test_wrong_parameters_and_files_are_named_in_a_line(folder, video, transform, told):
    with pytest.raises(CaffeError) as error:
        made(video, transform)
    assert told in str(error.value) and "layer 'd' (VideoData): " in str(error.value)


def test_a_net_of_tsn_learns_from_parts_of_videos(folder):
    """Videos whose flow goes to the left or to the right, of three parts that vote."""
    values, lines = np.random.default_rng(0), []
    for video in range(16):
        Path(f'v{video}').mkdir()
        for frame in range(1, 8):
            for axis in 'xy':
                mean = 128 + (40 if video % 2 else -40) * (axis == 'x')
                write(
                    f'v{video}/flow_{axis}_{frame:05d}.jpg', values.normal(mean, 30, (12, 12)).clip(0, 255).astype('u1')
                )
        lines.append(f'v{video} 7 {video % 2}\n')
    Path('videos.txt').write_text(''.join(lines))
    Path('net.prototxt').write_text(
        """layer { name: "data" type: "VideoData" top: "data" top: "label" video_data_param { source: "videos.txt"
               batch_size: 16 new_length: 2 num_segments: 3 modality: FLOW shuffle: true
               name_pattern: "flow_%c_%05d.jpg" } transform_param { crop_size: 8 fix_crop: true
               more_fix_crop: true multi_scale: true max_distort: 1 scale_ratios: [1, 0.875, 0.75] mean_value: 128
               is_flow: true scale: 0.02 } }
           layer { name: "parts" type: "Reshape" bottom: "data" top: "parts" reshape_param { shape {
               dim: [-1, 4, 8, 8] } } }
           layer { name: "conv" type: "Convolution" bottom: "parts" top: "conv" convolution_param { num_output: 4
               kernel_size: 8 weight_filler { type: "xavier" } } }
           layer { name: "gather" type: "Gather" bottom: "conv" bottom: "label" top: "all" top: "labels" }
           layer { name: "fc" type: "InnerProduct" bottom: "all" top: "fc" inner_product_param { num_output: 2
               weight_filler { type: "xavier" } } }
           layer { name: "votes" type: "Reshape" bottom: "fc" top: "votes" reshape_param { shape {
               dim: [-1, 1, 3, 2] } } }
           layer { name: "mean" type: "Pooling" bottom: "votes" top: "mean" pooling_param { pool: AVE kernel_h: 3
               kernel_w: 1 } }
           layer { name: "loss" type: "SoftmaxWithLoss" bottom: "mean" bottom: "labels" top: "loss" softmax_param {
               axis: 3 } }"""
    )
    Path('solver.prototxt').write_text(
        'net: "net.prototxt" base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 max_iter: 30 display: 30 random_seed: 1 '
        'snapshot_prefix: "tsn" solver_mode: CPU'
    )
    done = caffe_command(folder, 'train', '-solver', 'solver.prototxt')
    assert done.returncode == 0, done.stderr
    assert float(done.stderr.split('loss = ')[-1].split()[0]) < 0.1
