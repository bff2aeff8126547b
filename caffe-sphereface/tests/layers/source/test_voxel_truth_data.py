"""VideoWithVoxelTruthData: truth stays on the pixels that it belongs to."""

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError
from databases import net


def write(path, values):
    """A file of C3D's form for values (channels, time, height, width)."""
    Path(path).write_bytes(np.array((1, *values.shape), '<i4').tobytes() + values.tobytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with two clips of 3 channels and 2 of truth, which are 10 times the first and second."""
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        clip = np.random.default_rng(i).standard_normal((3, 2, 6, 8)).astype('<f4')
        write(f'clip{i}', np.concatenate([clip, 10 * clip[:2]]))
        write(f'bytes{i}', np.random.default_rng(i).integers(0, 25, (4, 2, 6, 8), np.uint8))
    Path('list.txt').write_text('clip0\nclip1\n')
    Path('bytes.txt').write_text('bytes0\nbytes1\n')
    return tmp_path


def made(video='num_truth_channels: 2', transform='', phase=caffe.TRAIN, source='list.txt'):
    return net(
        f"""layer {{ name: "d" type: "VideoWithVoxelTruthData" top: "data" top: "truth"
            transform_param {{ {transform} }} video_data_param {{ source: "{source}" batch_size: 2 {video} }} }}""",
        phase,
    )


@pytest.mark.parametrize('transform', ['', 'mirror: true', 'crop_size: 4 mirror: true'])
def test_every_pixel_keeps_its_truth(folder, transform):
    loaded = made('num_truth_channels: 2 truth_scale: 0.5 shuffle: true', transform)
    size = loaded.blobs['data'].shape[3:]
    assert loaded.blobs['data'].shape == (2, 3, 2, *size) and loaded.blobs['truth'].shape == (2, 2, 2, *size)
    for _ in range(4):
        loaded.forward()
        np.testing.assert_allclose(loaded.blobs['truth'].data, 5 * loaded.blobs['data'].data[:, :2], rtol=1e-5)


def test_flow_to_the_right_changes_sign_with_the_side(folder):
    loaded = made('num_truth_channels: 2 is_flow: true', 'mirror: true')
    signs = set()
    for _ in range(10):
        loaded.forward()
        ratio = loaded.blobs['truth'].data / loaded.blobs['data'].data[:, :2]
        np.testing.assert_allclose(ratio[:, 1], 10, rtol=1e-4)
        signs |= set(np.round(ratio[:, 0]).ravel().tolist())
    assert signs == {-10, 10}


def test_truth_within_limits_becomes_a_share(folder):
    loaded = made('num_truth_channels: 2 clip_min: -5 clip_max: 15')
    loaded.forward()
    wanted = np.clip((10 * loaded.blobs['data'].data[:, :2] + 5) / 20, 0, 1)
    np.testing.assert_allclose(loaded.blobs['truth'].data, wanted, atol=1e-5)


def test_labels_of_the_first_version_are_bytes(folder):
    loaded = net(
        """layers { name: "d" type: VIDEO_SEGMENTATION_DATA top: "data" top: "truth" image_data_param {
               source: "bytes.txt" batch_size: 2 crop_size: 4 mean_value: 3 } }
           layers { name: "c" type: CONVOLUTION3D bottom: "data" top: "c" convolution_param { num_output: 8
               kernel_size: 1 kernel_depth: 1 } }
           layers { name: "l" type: VOXEL_SOFTMAX_LOSS bottom: "c" bottom: "truth" top: "l" }""",
        caffe.TEST,
    )
    loss = float(loaded.forward()['l'])
    values = np.stack([np.fromfile(f'bytes{i}', np.uint8)[20:].reshape(4, 2, 6, 8) for i in range(2)])[..., 1:5, 2:6]
    assert np.array_equal(loaded.blobs['data'].data, values[:, :3].astype('f') - 3)
    assert np.array_equal(loaded.blobs['truth'].data, values[:, 3:])
    assert loss == pytest.approx((values[:, 3] < 8).mean() * np.log(8), rel=1e-5)


def test_files_of_another_form_are_named(folder):
    Path('clip1').write_bytes(b'short')
    with pytest.raises(CaffeError, match=r'list.txt:2: clip1: has 0 bytes behind the shape \(\), expected those of '):
        made().forward()
    with pytest.raises(CaffeError, match='list.txt:1: clip0: has 5 channels, expected more than num_truth_channels, 5'):
        made('num_truth_channels: 5')
    Path('list.txt').write_text('clip0 7\n')
    with pytest.raises(CaffeError, match="list.txt:1: 'clip0 7', expected one path"):
        made()
