"""Damaged and absurd files, chosen by hypothesis; tools/fuzz_engine.py goes on for longer."""

import h5py
import pytest
from fuzzing import inputs, whole_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import caffe
from caffe.proto import caffe_pb2
from layer_case import layer, make_net, run


def quiet_folder(tmp_path_factory, targets):
    """Yields a folder that the module `targets` prepared; the log is quiet as long as it is used."""
    made = tmp_path_factory.mktemp('fuzz')
    caffe.init_log(2)
    targets.prepare(made)
    yield made
    caffe.init_log(0)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    yield from quiet_folder(tmp_path_factory, inputs)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A folder of its own: layers of random parameters may write into the other one."""
    yield from quiet_folder(tmp_path_factory, whole_files)


@pytest.mark.parametrize('target', inputs.TARGETS)
def test_bad_input_ends_in_one_clear_error(target, folder):
    @settings(
        max_examples=200 if target == 'layers' else 40,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def check(random):
        inputs.run(target, random, folder)

    check()


def is_random(content):
    """Whether a seed is a net of random layers, which need not fit together."""
    return b'fuzz' in content


@pytest.mark.parametrize('target', whole_files.TARGETS)
def test_files_that_coverage_guided_fuzzing_starts_from_are_accepted(target, files):
    if target == 'leveldb':
        pytest.importorskip('plyvel')
    for content in whole_files.seeds(target, files):
        with inputs.limits():
            assert whole_files.run(target, content, files) or is_random(content)


CLIP = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name='c', type='Clip', clip_param={'max': 1})])


@pytest.mark.parametrize(
    'target, content, accepted',
    [
        ('solver_text', b'net: "\0" base_lr: 1 lr_policy: "fixed"', False),
        ('image_list', b'a\0b.png 1\n', False),
        ('hdf5_list', b'a\0b.h5\n', False),
        (
            'net_text',
            b'layer { name: "d" type: "Data" top: "d" data_param { source: "\0" batch_size: 1 backend: LMDB } }',
            False,
        ),
        ('net_text', b'layer { name: "d" type: "Data" top: "d" data_param { source: "\0" batch_size: 1 } }', False),
        ('image_list', b'good.png ' + b'9' * 400 + b'\n', False),
        ('windows', b'# 0\ngood.png\n3\n6\n5\n2\n' + b'9' * 400 + b' 0.9 0 0 3 4\n1 0.1 0 0 3 3\n', False),
        ('windows', b'# 0\ngood.png\n3\n6\n5\n2\n1 0.9 0 0 ' + b'9' * 400 + b' 4\n1 0.1 0 0 3 3\n', False),
        (
            'net_text',
            b'layer { name: "d" type: "ImageData" top: "d" top: "l" image_data_param { source: "pictures.list" '
            b'batch_size: 1 new_height: 200000 new_width: 200000 } }',
            False,
        ),
        ('net_binary', CLIP.SerializePartialToString(), True),
    ],
)
def test_what_fuzzing_found(target, content, accepted, files):
    """`accepted` is True for commands, which end with a status of their own."""
    with inputs.limits():
        assert whole_files.run(target, content, files) is accepted


@pytest.mark.parametrize(
    'read',
    [
        caffe.Net,
        lambda net, phase: caffe.get_solver(caffe_pb2.SolverParameter(net_param=net, base_lr=1, lr_policy='fixed')),
    ],
)
def test_messages_that_lack_a_field_are_refused(read):
    with pytest.raises(caffe.CaffeError, match='clip_param.min is missing'):
        read(CLIP, caffe.TEST)


def net_with(text):
    return f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }} }} }}
               layer {{ name: "big" bottom: "x" top: "y" {text} }}"""


@pytest.mark.parametrize(
    'layer',
    [
        'type: "InnerProduct" inner_product_param { num_output: 4000000000 }',
        'type: "Convolution" convolution_param { num_output: 4000000000 kernel_size: 1 }',
        'type: "Convolution" convolution_param { num_output: 1000 kernel_size: 2000 pad: 1000 }',
        'type: "Convolution" convolution_param { num_output: 1 kernel_size: 1 pad: 1000000000 }',
        'type: "Deconvolution" convolution_param { num_output: 1 kernel_size: 1 stride: 1000000000 }',
        'type: "Pooling" pooling_param { kernel_size: 1000000000 pad: 999999999 stride: 1000000000 }',
        'type: "Tile" tile_param { axis: 1 tiles: 2000000000 }',
        'type: "SPP" spp_param { pyramid_height: 4000000000 }',
        'type: "Im2col" convolution_param { kernel_size: 1 pad: 1000000000 stride: 1000000000 }',
        'type: "Embed" embed_param { input_dim: 1000000 num_output: 1000000 }',
        'type: "Reshape" reshape_param { shape { dim: 1000000000000 } }',
    ],
)
def test_claims_of_more_than_any_machine_has_are_refused_before_allocating(layer, tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(net_with(layer))
    with inputs.limits(), pytest.raises(caffe.CaffeError, match="'big'"):
        caffe.Net(str(path), caffe.TEST).forward()


@pytest.mark.parametrize(
    'layer',
    [
        'type: "DummyData" top: "x" dummy_data_param { shape { dim: 1000000 dim: 1000000 } }',
        'type: "Input" top: "x" input_param { shape { dim: 1000000 dim: 1000000 } }',
        'type: "Parameter" top: "x" parameter_param { shape { dim: 1000000 dim: 1000000 } }',
        'type: "Input" top: "x" input_param { shape { dim: -1 } }',
        'type: "MemoryData" top: "x" top: "y" '
        'memory_data_param { batch_size: 1000000 channels: 100 height: 99 width: 9 }',
    ],
)
def test_blobs_of_impossible_shapes_are_refused(layer, tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(f'layer {{ name: "big" {layer} }}')
    with inputs.limits(), pytest.raises(caffe.CaffeError, match="'big'"):
        caffe.Net(str(path), caffe.TEST).forward()


@pytest.mark.parametrize('kind', ['BatchNorm', 'Scale'])
def test_empty_batches_pass_backward(kind):
    net = make_net(layer(kind), {'x': (0, 3, 2, 2)}, caffe.TEST)
    run(net)
    assert net.blobs['x'].diff.shape == (0, 3, 2, 2)


def test_limits_are_the_limits_of_caffe():
    blob = caffe._caffe.Blob(1)
    with pytest.raises(caffe.CaffeError, match='values'):
        blob.reshape(2**16, 2**15)
    with pytest.raises(caffe.CaffeError, match='32'):
        blob.reshape(*[1] * 33)
    assert blob.shape == (1,)


def blob_proto(kind):
    """A BlobProto of a few values that says it has 10¹²."""
    return kind(shape={'dim': [1000, 1000, 1000, 1000]}, data=[1, 2, 3])


def hdf5_file(path, name):
    """An HDF5 file with a dataset of 10¹² values, none of which is stored."""
    with h5py.File(path, 'w') as file:
        file.create_dataset(name, (10**6, 10**6), 'f')
        file.create_dataset('label', (10**6,), 'f')
        file['iter'], file['current_step'] = 1, 0
    return path.read_bytes()


def claim(target, path):
    """The content of a file of kind `target` that claims 10¹² values."""
    blob = blob_proto(caffe_pb2.BlobProto)
    return {
        'weights': lambda: caffe_pb2.NetParameter(layer=[{'name': 'ip1', 'blobs': [blob]}]).SerializeToString(),
        'old weights': lambda: caffe_pb2.NetParameter(
            layers=[
                {
                    'name': 'ip1',
                    'blobs': [caffe_pb2.BlobProto(num=1000, channels=1000, height=1000, width=1000, data=[1])],
                }
            ]
        ).SerializeToString(),
        'weights hdf5': lambda: hdf5_file(path, 'data/ip1/0'),
        'state': lambda: caffe_pb2.SolverState(iter=1, history=[blob]).SerializeToString(),
        'state hdf5': lambda: hdf5_file(path, 'history/0'),
        'hdf5_data': lambda: hdf5_file(path, 'data'),
        'mean_file': blob.SerializeToString,
        'datum': lambda: caffe_pb2.Datum(channels=10**6, height=10**6, width=1, data=b'x').SerializeToString(),
    }[target]()


@pytest.mark.parametrize(
    'target', ['weights', 'old weights', 'weights hdf5', 'state', 'state hdf5', 'hdf5_data', 'mean_file', 'datum']
)
def test_files_that_claim_a_million_million_values_are_refused_before_allocating(target, tmp_path, files):
    content = claim(target, tmp_path / 'claim.h5')
    before = inputs.address_space()
    with inputs.limits(), inputs.working_in(files), pytest.raises(caffe.CaffeError, match='claims|expects'):
        whole_files.TARGETS[target.replace('old ', '').replace(' hdf5', '')](content)
    assert inputs.address_space() - before < 10**9


def test_a_blob_proto_in_python_is_held_against_its_claim():
    with pytest.raises(caffe.CaffeError, match='3 values'):
        caffe.io.blobproto_to_array(blob_proto(caffe_pb2.BlobProto))
    with pytest.raises(caffe.CaffeError, match='1 values'):
        caffe.io.datum_to_array(caffe_pb2.Datum(channels=10**6, height=10**6, width=1, data=b'x'))
