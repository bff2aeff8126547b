"""VideoData of C3D's fork: clips of frames in folders and of video files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError
from databases import net
from training_run import caffe_command

FRAMES = 7


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with clips a, b, c of 7 frames of 6x8, all pixels of which are 30 · clip + frame, and a list."""
    monkeypatch.chdir(tmp_path)
    for clip, name in enumerate('abc'):
        Path(name).mkdir()
        for frame in range(1, FRAMES + 1):
            cv2.imwrite(f'{name}/{frame:06d}.png', np.full((6, 8, 3), 30 * clip + frame, np.uint8))
            Path(f'{name}/{frame:06d}.png').rename(f'{name}/{frame:06d}.jpg')  # told by content, and exact
    Path('list.txt').write_text('a 2 0\nb 1 4\nc 3 2\n')
    return tmp_path


def made(video='', transform='', phase=caffe.TRAIN, batch=2, source='list.txt'):
    return net(
        f"""layer {{ name: "d" type: "VideoData" top: "data" top: "label" transform_param {{ {transform} }}
            video_data_param {{ source: "{source}" batch_size: {batch} {video} }} }}""",
        phase,
    )


def first_pixels(loaded):
    """(clips, frames): the first pixel of each frame of a batch."""
    return loaded.blobs['data'].data[:, 0, :, 0, 0]


def test_frames_of_folders_follow_the_lines_of_the_list(folder):
    loaded = made('use_image: true new_length: 2 sampling_rate: 2')
    loaded.forward()
    assert loaded.blobs['data'].shape == (2, 3, 2, 6, 8)
    assert first_pixels(loaded).tolist() == [[2, 4], [31, 33]]
    assert loaded.blobs['label'].data.tolist() == [0, 4]
    loaded.forward()
    assert first_pixels(loaded).tolist() == [[63, 65], [2, 4]]


def test_jitter_begins_anywhere_in_train_and_leaves_out_what_is_too_short(folder):
    Path('frames.txt').write_text(f'a {FRAMES} 0\nb 3 1\nc {FRAMES} 2\n')
    loaded = made('use_image: true use_temporal_jitter: true new_length: 4', source='frames.txt')
    firsts = set()
    for _ in range(20):
        loaded.forward()
        starts = first_pixels(loaded)
        assert np.array_equal(starts - starts[:, :1], [[0, 1, 2, 3]] * 2)
        firsts |= set(starts[:, 0].tolist())
    assert firsts == {1, 2, 3, 4, 61, 62, 63, 64}


def test_distances_of_frames_are_drawn(folder):
    loaded = made('use_image: true new_length: 2 max_sampling_rate: 3 use_sampling_rate_jitter: true')
    steps = set()
    for _ in range(20):
        loaded.forward()
        steps |= set(np.diff(first_pixels(loaded)).ravel().tolist())
    assert steps == {1, 2, 3}


def test_all_frames_of_a_clip_are_cropped_and_mirrored_alike(folder):
    ramp = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for frame in range(1, FRAMES + 1):
        content = cv2.imencode('.png', np.stack([ramp, ramp + 50, ramp + 100], 2))[1].tobytes()
        Path(f'a/{frame:06d}.jpg').write_bytes(content)
    loaded = made('use_image: true new_length: 3', 'crop_size: 4 mirror: true mean_value: [1, 2, 3] scale: 2', batch=1)
    loaded.forward()
    clip = loaded.blobs['data'].data[0]
    assert clip.shape == (3, 3, 4, 4)
    assert np.array_equal(clip, np.broadcast_to(clip[:, :1], clip.shape))
    assert np.array_equal(clip[1] - clip[0], np.full((3, 4, 4), 98))
    assert np.array_equal(clip[2] - clip[0], np.full((3, 4, 4), 196))


def test_test_takes_the_centre_and_a_mean_clip_is_subtracted(folder):
    mean = caffe.proto.caffe_pb2.BlobProto(data=np.arange(3 * 2 * 6 * 8, dtype='f').tolist())
    mean.shape.dim[:] = (1, 3, 2, 6, 8)
    Path('mean').write_bytes(mean.SerializeToString())
    loaded = made('use_image: true new_length: 2', 'crop_size: 4 mean_file: "mean"', caffe.TEST, 1)
    loaded.forward()
    wanted = np.array([2, 3]).reshape(1, 2, 1, 1) - np.arange(3 * 2 * 6 * 8).reshape(3, 2, 6, 8)[..., 1:5, 2:6]
    assert np.array_equal(loaded.blobs['data'].data[0], wanted)


def test_several_labels_become_ones_of_a_row(folder):
    Path('many.txt').write_text('a 1 0,3\nb 1 2\n')
    loaded = made('use_image: true new_length: 1 use_multiple_label: true num_of_labels: 4', source='many.txt')
    loaded.forward()
    assert loaded.blobs['label'].data.tolist() == [[1, 0, 0, 1], [0, 0, 1, 0]]


def test_frames_of_a_video_file_are_those_that_it_was_written_from(folder):
    writer = cv2.VideoWriter('v.avi', cv2.VideoWriter_fourcc(*'MJPG'), 25, (32, 24))
    for frame in range(9):
        writer.write(np.full((24, 32, 3), 20 * frame, np.uint8))
    writer.release()
    Path('videos.txt').write_text('v.avi 3 1\n')
    loaded = made('new_length: 3 sampling_rate: 2 new_height: 6 new_width: 8', batch=1, source='videos.txt')
    loaded.forward()
    assert loaded.blobs['data'].shape == (1, 3, 3, 6, 8)
    np.testing.assert_allclose(first_pixels(loaded)[0], [60, 100, 140], atol=3)
    Path('anywhere.txt').write_text('v.avi 1\n')
    loaded = made('new_length: 3 use_temporal_jitter: true', batch=1, source='anywhere.txt')
    loaded.forward()
    np.testing.assert_allclose(np.diff(first_pixels(loaded)[0]), [20, 20], atol=4)


@pytest.mark.parametrize(
    'video, transform, told',
    [
        ('', '', 'new_length is 0, expected at least 1'),
        ('new_length: 2 new_height: 3', '', 'expected both or none'),
        ('new_length: 2 use_image: true rand_skip: 4000000000', '', 'rand_skip'),
        ('new_length: 2 use_image: true', 'resize_param { height: 3 width: 3 }', 'expected new_height and new_width'),
        ('new_length: 2 use_image: true', 'mean_value: [1, 2]', r'mean_value is given 2 times, expected once or 3'),
        ('new_length: 2 use_image: true', 'crop_size: 7', 'crop_size 7 is larger than the picture of 6x8'),
        ('new_length: 2', '', 'list.txt:1: a: is no file, expected a video'),
        ('new_length: 7 use_image: true', '', 'list.txt:1: a/000008.jpg: cannot be read'),
    ],
)
def test_wrong_parameters_and_files_are_named_in_a_line(folder, video, transform, told):
    with pytest.raises(CaffeError, match=told) as error:
        made(video, transform)
    assert "layer 'd' (VideoData): " in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
    'line, told',
    [
        ('a 2', "list.txt:2: '2' behind the path, expected a path, a number, a label"),
        ('a 2 x', "list.txt:2: '2 x' behind the path, expected a path, a number, a label"),
        ('gone 1 0', 'list.txt:2: gone/000001.jpg: cannot be read'),
    ],
)
def test_a_wrong_line_is_named(folder, line, told):
    Path('list.txt').write_text(f'a 1 0\n{line}\n')
    with pytest.raises(CaffeError) as error:
        made('new_length: 1 use_image: true').forward()
    assert told in str(error.value)


def test_frames_of_different_sizes_are_named(folder):
    cv2.imwrite('a/other.png', np.zeros((6, 9, 3), np.uint8))
    Path('a/other.png').rename('a/000003.jpg')
    with pytest.raises(CaffeError, match=r'list.txt:1: a/000003.jpg: has size \(6, 9\), the first frame \(6, 8\)'):
        made('new_length: 2 use_image: true')


def test_what_watches_a_camera_is_refused():
    with pytest.raises(CaffeError, match='has no source, expected a list of clips'):
        net('layer { name: "d" type: "VideoData" top: "data" video_data_param { video_type: WEBCAM device_id: 1 } }')


def test_a_net_of_c3d_learns_which_way_things_move(folder):
    """Clips of a bar that moves to the left or to the right: no single frame tells."""
    values, lines = np.random.default_rng(0), []
    for clip in range(24):
        Path(f'clip{clip}').mkdir()
        first, step = values.integers(12), 1 if clip % 2 else -1
        for frame in range(4):
            picture = np.zeros((12, 12, 3), np.uint8)
            picture[:, (first + step * frame) % 12] = 255
            cv2.imwrite(f'clip{clip}/{frame + 1:06d}.jpg', picture)
        lines.append(f'clip{clip} 1 {clip % 2}\n')
    Path('clips.txt').write_text(''.join(lines))
    Path('net.prototxt').write_text(
        """layers { name: "data" type: VIDEO_DATA top: "data" top: "label" image_data_param { source: "clips.txt"
               use_image: true batch_size: 24 new_length: 4 show_data: 0 mean_value: 20 scale: 0.004 } }
           layers { name: "conv" type: CONVOLUTION3D bottom: "data" top: "conv" convolution_param { num_output: 8
               kernel_size: 3 kernel_depth: 2 pad: 1 weight_filler { type: "xavier" } } }
           layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
           layers { name: "pool" type: POOLING3D bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 12
               kernel_depth: 3 } }
           layers { name: "fc" type: INNER_PRODUCT bottom: "pool" top: "fc" inner_product_param { num_output: 2
               weight_filler { type: "xavier" } } }
           layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc" bottom: "label" top: "loss" }"""
    )
    Path('solver.prototxt').write_text(
        'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" type: "Adam" max_iter: 60 display: 60 random_seed: 1 '
        'snapshot_prefix: "c3d" solver_mode: CPU'
    )
    done = caffe_command(folder, 'train', '-solver', 'solver.prototxt')
    assert done.returncode == 0, done.stderr
    assert float(done.stderr.split('loss = ')[-1].split()[0]) < 0.1
