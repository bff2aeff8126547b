"""Damaged and absurd files, chosen by hypothesis; tools/fuzz_engine.py goes on for longer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import caffe
import fuzzing
from layer_case import layer, make_net, run


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp('fuzz')
    caffe.init_log(2)
    fuzzing.prepare(made)
    yield made
    caffe.init_log(0)


@pytest.mark.parametrize('target', fuzzing.TARGETS)
def test_bad_input_ends_in_one_clear_error(target, folder):

    @settings(max_examples=200 if target == 'layers' else 40, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def check(random):
        fuzzing.run(target, random, folder)

    check()


def net_with(text):
    return f'''layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }} }} }}
               layer {{ name: "big" bottom: "x" top: "y" {text} }}'''


@pytest.mark.parametrize('layer', [
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
])
def test_claims_of_more_than_any_machine_has_are_refused_before_allocating(layer, tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(net_with(layer))
    with fuzzing.limits(), pytest.raises(caffe.CaffeError, match="'big'"):
        caffe.Net(str(path), caffe.TEST).forward()


@pytest.mark.parametrize('layer', [
    'type: "DummyData" top: "x" dummy_data_param { shape { dim: 1000000 dim: 1000000 } }',
    'type: "Input" top: "x" input_param { shape { dim: 1000000 dim: 1000000 } }',
    'type: "Parameter" top: "x" parameter_param { shape { dim: 1000000 dim: 1000000 } }',
    'type: "Input" top: "x" input_param { shape { dim: -1 } }',
    'type: "MemoryData" top: "x" top: "y" memory_data_param { batch_size: 1000000 channels: 100 height: 99 width: 9 }',
])
def test_blobs_of_impossible_shapes_are_refused(layer, tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(f'layer {{ name: "big" {layer} }}')
    with fuzzing.limits(), pytest.raises(caffe.CaffeError, match="'big'"):
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
