"""Nets: wiring, phases, splits, shared parameters, partial runs, weights."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 } } }\n'


def product(name, bottom, top, outputs=3, extra=''):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {extra} '
        f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }} }}\n'
    )


def make(text, phase=caffe.TEST, **how):
    caffe.set_random_seed(1)
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase, **how)


def test_a_blob_with_two_readers_is_split_and_its_diff_summed():
    net = make('force_backward: true ' + INPUT + product('a', 'x', 'a') + product('b', 'x', 'b'))
    assert [n for n in net._layer_names if 'split' in n] == ['x_x_0_split']
    assert 'x_x_0_split_1' in net.blobs
    net.forward(x=np.ones((2, 4)))
    for name in ('a', 'b'):
        net.blobs[name].diff[...] = 1
    net.backward()
    expected = net.params['a'][0].data.sum(0) + net.params['b'][0].data.sum(0)
    assert np.allclose(net.blobs['x'].diff, expected)


def test_a_loss_that_another_layer_reads_gives_the_same_gradient():
    loss = (
        'layer { name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "t" top: "loss" loss_weight: 3 }\n'
        'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }\n'
    ).splitlines()
    text = INPUT + loss[1] + product('a', 'x', 'a') + loss[0]
    alone, read = make(text), make(text + 'layer { name: "s" type: "Silence" bottom: "loss" }')
    for net in (alone, read):
        net.forward(x=np.ones((2, 4)), t=np.zeros((2, 3)))
        net.clear_param_diffs()
        net.backward()
    assert alone.params['a'][0].diff.any()
    assert (read.params['a'][0].diff == alone.params['a'][0].diff).all()


def test_a_filter_has_room_for_all_until_its_selector_is_known():
    net = make(
        INPUT + 'layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 2 } } }'
        'layer { name: "f" type: "Filter" bottom: "x" bottom: "s" top: "y" }'
    )
    assert net.blobs['y'].shape == (2, 4)
    net.blobs['s'].data[...] = [0, 1]
    net.forward()
    assert net.blobs['y'].shape == (1, 4)


def test_outputs_are_in_alphabetical_order():
    assert make(INPUT + product('1', 'x', 'z') + product('2', 'x', 'a')).outputs == ['a', 'z']


@pytest.mark.parametrize(
    'rule, phase, level, stages, there',
    [
        ('include { phase: TRAIN }', caffe.TEST, 0, [], False),
        ('include { phase: TRAIN }', caffe.TRAIN, 0, [], True),
        ('exclude { phase: TEST }', caffe.TEST, 0, [], False),
        ('include { min_level: 2 }', caffe.TEST, 1, [], False),
        ('include { min_level: 2 max_level: 3 }', caffe.TEST, 3, [], True),
        ('include { stage: "deploy" }', caffe.TEST, 0, ['deploy'], True),
        ('include { stage: "deploy" }', caffe.TEST, 0, [], False),
        ('include { not_stage: "deploy" }', caffe.TEST, 0, ['deploy'], False),
    ],
)
def test_rules_include_by_phase_level_and_stage(rule, phase, level, stages, there):
    net = make(INPUT + product('a', 'x', 'a', extra=rule), phase, level=level, stages=stages)
    assert ('a' in net.params) == there


def test_shared_parameters_are_one_and_their_diffs_add():
    shared = 'param { name: "w" } param { name: "b" }'
    net = make('force_backward: true ' + INPUT + product('a', 'x', 'a', 4, shared) + product('b', 'a', 'b', 4, shared))
    net.params['a'][0].data[...] = 2 * np.eye(4)
    assert (net.params['b'][0].data == 2 * np.eye(4)).all()
    assert len(net.learnable.blobs) == 2
    net.forward(x=np.ones((2, 4)))
    net.clear_param_diffs()
    net.blobs['b'].diff[...] = 1
    net.backward()
    # y = W·W·x: the diff has the part of the second use, 1·(2x)ᵀ, and of the first, 2·1·xᵀ, over two rows
    assert np.allclose(net.params['a'][0].diff, 8) and np.allclose(net.params['b'][0].diff, 8)


def test_sharing_permissively_allows_another_shape_of_the_same_count():
    reshaped = (
        'layer { name: "r" type: "Parameter" top: "r" param { name: "w" share_mode: PERMISSIVE } '
        'parameter_param { shape { dim: 12 } } }'
    )
    net = make(INPUT + product('a', 'x', 'a', 3, 'param { name: "w" }') + reshaped)
    assert (net.params['r'][0].data == net.params['a'][0].data.reshape(-1)).all()
    with pytest.raises(caffe.CaffeError, match="shares parameter 'w'"):
        make(INPUT + product('a', 'x', 'a', 3, 'param { name: "w" }') + reshaped.replace('PERMISSIVE', 'STRICT'))


def test_multipliers_of_shared_parameters_must_agree():
    with pytest.raises(caffe.CaffeError, match='lr_mult'):
        make(
            INPUT
            + product('a', 'x', 'a', 4, 'param { name: "w" lr_mult: 1 }')
            + product('b', 'a', 'b', 4, 'param { name: "w" lr_mult: 2 }')
        )


def test_parts_run_forward_and_backward_by_name():
    net = make('force_backward: true ' + INPUT + product('a', 'x', 'a') + product('b', 'a', 'b'))
    net.forward(x=np.ones((2, 4)))
    net.blobs['a'].data[...] = 0
    out = net.forward(start='b')
    assert np.allclose(out['b'], net.params['b'][1].data)
    assert set(net.forward(end='a')) == {'a'}
    net.blobs['b'].diff[...] = 1
    assert set(net.backward(end='b')) == {'a'}
    with pytest.raises(caffe.CaffeError, match="no layer 'nix'"):
        net.forward(start='nix')


def test_backward_is_skipped_where_nothing_learns():
    frozen = 'param { lr_mult: 0 } param { lr_mult: 0 }'
    net = make(
        INPUT
        + 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }'
        + product('a', 'x', 'a', 3, frozen)
        + product('b', 'a', 'b', 3)
        + 'layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "loss" }',
        caffe.TRAIN,
    )
    net.blobs['a'].diff[...] = 7
    net.forward(x=np.ones((2, 4)), t=np.zeros((2, 3)))
    net.backward()
    assert (net.blobs['a'].diff == 7).all() and net.params['b'][0].diff.any()


def test_forward_all_pads_the_last_batch_and_cuts_it_off():
    net = make(INPUT + product('a', 'x', 'a'))
    x = np.random.default_rng(0).standard_normal((5, 4))
    got = net.forward_all(x=x)['a']
    assert got.shape == (5, 3)
    assert np.allclose(got, x @ net.params['a'][0].data.T + net.params['a'][1].data, atol=1e-5)


@pytest.mark.parametrize(
    'text, message',
    [
        (product('a', 'nix', 'a'), "unknown bottom blob 'nix'"),
        (INPUT + product('a', 'x', 'a') + product('b', 'x', 'a'), "top blob 'a' is produced by an earlier layer"),
        (
            INPUT + 'layer { name: "a" type: "Convolutoin" bottom: "x" top: "a" }',
            "type 'Convolutoin', did you mean 'Conv",
        ),
        (INPUT + 'layer { name: "a" type: "RELU" bottom: "x" top: "a" }', "unknown type 'RELU', did you mean 'ReLU'"),
        (
            product('a', 'nix', 'a') + 'layer { name: "b" type: "NoSuchLayer" } layer { name: "c" type: "AnyLayer" }',
            r"layer 'b': unknown type 'NoSuchLayer' \(further layers are of the unknown types 'AnyLayer'\), "
            'expected one of',
        ),
        (INPUT + 'layer { name: "a" type: "ReLU" bottom: "x" bottom: "x" top: "a" }', '2 bottom blobs, expected 1'),
        (INPUT + product('a', 'x', 'a', 3, 'loss_weight: 1 loss_weight: 1'), 'loss_weight is given 2 times'),
        (INPUT + product('a', 'x', 'a', 3, 'param {} param {} param {}'), '3 param blocks'),
        (INPUT + product('a', 'x', 'a', 3, 'include { phase: TEST } exclude { phase: TRAIN }'), 'include and exclude'),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(caffe.CaffeError, match=message):
        make(text)


def test_a_typing_error_names_file_and_line(tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(INPUT + 'layer { nmae: "a" }')
    with pytest.raises(caffe.CaffeError, match=r'net.prototxt:2:\d+.*nmae'):
        caffe.Net(str(path), caffe.TEST)


@pytest.mark.parametrize('ending', ['caffemodel', 'h5'])
def test_weights_are_read_back_as_written(tmp_path, ending):
    text = INPUT + product('a', 'x', 'a')
    net, path = make(text), str(tmp_path / f'w.{ending}')
    (net.save_hdf5 if ending == 'h5' else net.save)(path)
    caffe.set_random_seed(9)
    other = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TEST)
    other.params['a'][0].data[...] = 0
    other.copy_from(path)
    assert all((mine.data == theirs.data).all() for mine, theirs in zip(net.params['a'], other.params['a']))


def test_a_caffemodel_is_a_message_of_the_schema(tmp_path):
    net, path = make(INPUT + product('a', 'x', 'a')), tmp_path / 'w.caffemodel'
    net.save(str(path))
    message = caffe_pb2.NetParameter.FromString(path.read_bytes())
    assert [layer.name for layer in message.layer] == ['x', 'a']
    assert np.allclose(message.layer[1].blobs[0].data, net.params['a'][0].data.ravel())


def test_weights_in_double_precision_are_read(tmp_path):
    net, path = make(INPUT + product('a', 'x', 'a')), tmp_path / 'w.caffemodel'
    net.save(str(path))
    message = caffe_pb2.NetParameter.FromString(path.read_bytes())
    for blob in message.layer[1].blobs:
        blob.double_data[:] = [2 * value + 1 for value in blob.data]
        del blob.data[:]
    path.write_bytes(message.SerializeToString())
    before = [blob.data.copy() for blob in net.params['a']]
    net.copy_from(str(path))
    assert all(np.allclose(blob.data, 2 * old + 1) for blob, old in zip(net.params['a'], before))


def test_weights_of_another_shape_are_refused_and_nothing_changes(tmp_path):
    path = str(tmp_path / 'w.caffemodel')
    make(INPUT + product('a', 'x', 'a') + product('b', 'a', 'b', 2)).save(path)
    net = make(INPUT + product('a', 'x', 'a') + product('b', 'a', 'b', 5))
    before = net.params['a'][0].data.copy() + 1
    net.params['a'][0].data[...] = before
    with pytest.raises(caffe.CaffeError, match=r"w.caffemodel: layer 'b'.*\(2, 3\).*expects \(5, 3\)"):
        net.copy_from(path)
    assert (net.params['a'][0].data == before).all()


@pytest.mark.parametrize('ending', ['caffemodel', 'h5'])
@pytest.mark.parametrize('saved, expected', [(True, False), (False, True)])
def test_weights_of_another_number_of_blobs_are_refused(tmp_path, ending, saved, expected):
    def net(bias):
        return make(INPUT + product('a', 'x', 'a').replace('num_output', f'bias_term: {bias} num_output'.lower()))

    path = str(tmp_path / f'w.{ending}')
    (net(saved).save_hdf5 if ending == 'h5' else net(saved).save)(path)
    with pytest.raises(caffe.CaffeError, match="w.*'a'.* blobs"):
        net(expected).copy_from(path)


STATED = 'blobs { shape { dim: 1 dim: 4 } data: 1 data: 2 data: 3 data: 4 } blobs { %s data: 5 }'


@pytest.mark.parametrize('bias', ['shape { dim: 1 }', 'num: 1 channels: 1 height: 1 width: 1'])
def test_values_in_a_prototxt_stand_for_those_of_fillers(bias):
    net = make(INPUT + product('a', 'x', 'a', 1, STATED % bias))
    assert net.params['a'][0].data.tolist() == [[1, 2, 3, 4]] and net.params['a'][1].data.tolist() == [5]
    assert net.forward(x=np.ones((2, 4)))['a'].tolist() == [[15], [15]]


@pytest.mark.parametrize(
    'layer, message',
    [
        (
            product('a', 'x', 'a', 1, 'blobs { data: 5 }'),
            "'a' .*states 1 blobs, expected none or one for each of its 2",
        ),
        (product('a', 'x', 'a', 2, STATED % ''), r"'a' .*states blob 0 of shape \(1, 4\), expected \(2, 4\)"),
        (product('a', 'x', 'a', 1, STATED % 'shape { dim: 3 }'), r"'a' .*blob 1: shape \(3,\) claims 3 values"),
    ],
)
def test_values_in_a_prototxt_that_do_not_fit_are_refused(layer, message):
    with pytest.raises(caffe.CaffeError, match=message):
        make(INPUT + layer)


def test_truncated_weights_are_refused(tmp_path):
    path = tmp_path / 'w.caffemodel'
    make(INPUT + product('a', 'x', 'a')).save(str(path))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(caffe.CaffeError, match='w.caffemodel: is not a whole'):
        make(INPUT + product('a', 'x', 'a')).copy_from(str(path))


def test_swish_and_clip_travel_under_the_numbers_of_bvlc_master(tmp_path):
    text = INPUT + (
        'layer { name: "s" type: "Swish" bottom: "x" top: "s" swish_param { beta: 2 } }'
        'layer { name: "c" type: "Clip" bottom: "s" top: "c" clip_param { min: -1 max: 1 } }'
    )
    path = tmp_path / 'w.caffemodel'
    make(text).save(str(path))
    message = caffe_pb2.NetParameter.FromString(path.read_bytes())
    swish, clip = message.layer[1:]
    assert not swish.HasField('swish_param') and not clip.HasField('clip_param')
    as_swish = caffe_pb2.SwishParameter.FromString(swish.margin_inner_product_param.SerializePartialToString())
    as_clip = caffe_pb2.ClipParameter.FromString(clip.inter_class_param.SerializePartialToString())
    assert (as_swish.beta, as_clip.min, as_clip.max) == (2, -1, 1)


def test_layers_know_the_indices_of_their_blobs():
    net = make(INPUT + product('a', 'x', 'a') + product('b', 'x', 'b'))
    for index, name in enumerate(net._layer_names):
        assert [net._blob_names[i] for i in net._bottom_ids(index)] == net.bottom_names[name]
        assert [net._blob_names[i] for i in net._top_ids(index)] == net.top_names[name]


def test_no_gradient_goes_where_propagate_down_is_false():
    net = make(
        INPUT
        + 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }'
        + product('a', 'x', 'a', 3)
        + product('b', 'a', 'b', 3, 'propagate_down: false')
        + 'layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "loss" }',
        caffe.TRAIN,
    )
    net.blobs['a'].diff[...] = 7
    net.forward(x=np.ones((2, 4)), t=np.zeros((2, 3)))
    net.backward()
    assert (net.blobs['a'].diff == 7).all() and net.params['b'][0].diff.any()
    assert not net.params['a'][0].diff.any()


def test_a_forward_to_a_layer_leaves_what_is_behind_it():
    net = make(
        INPUT.replace('dim: 2 dim: 4', 'dim: 2 dim: 3 dim: 4 dim: 4')
        + """
        layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
                convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
        layer { name: "relu" type: "ReLU" bottom: "conv" top: "relu" }"""
    )
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 4))
    for _ in range(3):  # folded from the second time on
        net.forward(x=x)
    conv, relu = net.blobs['conv'].data.copy(), net.blobs['relu'].data.copy()
    for _ in range(3):
        net.forward(x=x)
    net.blobs['x'].data[...] = -x
    net.forward(end='conv')
    assert np.allclose(net.blobs['conv'].data, -conv, atol=1e-5) and np.array_equal(net.blobs['relu'].data, relu)


def test_a_net_runs_in_inference_mode():
    net = make(
        INPUT.replace('dim: 2 dim: 4', 'dim: 2 dim: 3 dim: 4 dim: 4')
        + """
        layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
                convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
        layer { name: "scale" type: "Scale" bottom: "conv" top: "scale" scale_param { filler { value: 2 } } }"""
    )
    with torch.inference_mode():
        for _ in range(3):
            net.params['scale'][0].tensor = torch.full((2,), 3.0)
            net.forward(x=np.ones((2, 3, 4, 4)))
            assert np.allclose(net.blobs['scale'].data, 3 * net.blobs['conv'].data)
