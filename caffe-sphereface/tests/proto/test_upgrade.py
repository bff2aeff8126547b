"""Old nets, solvers and weights."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import SHARED

import caffe
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, wire
from caffe.proto.files import parse_text, read_net, read_solver, read_text_message

FILES = SHARED / 'goldens' / 'files'

OLD = {
    'old_v0': caffe_pb2.NetParameter(
        layers=[
            {'layer': {'name': 'p', 'type': 'padding', 'pad': 2}, 'bottom': ['x'], 'top': ['px']},
            {
                'layer': {'name': 'c', 'type': 'conv', 'num_output': 6, 'kernelsize': 3, 'blobs_lr': [1, 2]},
                'bottom': ['px'],
                'top': ['c'],
            },
            {'layer': {'name': 'd', 'type': 'images', 'source': 'l', 'batchsize': 3, 'scale': 2}, 'top': ['i']},
        ],
        input=['x'],
        input_dim=[1, 2, 3, 4],
    ).SerializeToString(),
    'old_v1': caffe_pb2.NetParameter(
        layers=[
            {'name': 'd', 'type': 12, 'top': ['a'], 'image_data_param': {'source': 'l', 'mirror': True}},
            {'name': 'r', 'type': 18, 'bottom': ['a'], 'top': ['a'], 'param': ['w'], 'blob_share_mode': [1]},
        ]
    ).SerializeToString(),
}


def text_net(text):
    return parse_text(text, caffe_pb2.NetParameter(), 'test')


def upgraded(text):
    return read_net(text_net(text))


@pytest.mark.parametrize('age', ['v0', 'v1', 'bn'])
def test_genuine_upgrades_of_nets(age):
    if not FILES.exists():
        pytest.skip('shared goldens are absent')
    expected = read_text_message(FILES / f'upgraded_{age}.prototxt', caffe_pb2.NetParameter())
    assert read_net(FILES / f'old_{age}.prototxt') == expected
    assert read_net(expected) == expected


def test_genuine_upgrade_of_a_solver():
    if not FILES.exists():
        pytest.skip('shared goldens are absent')
    expected = read_text_message(FILES / 'upgraded_solver.prototxt', caffe_pb2.SolverParameter())
    assert read_solver(FILES / 'old_solver.prototxt') == expected


def test_inputs_become_a_layer_with_a_shape_each():
    old = 'name: "n" input: "a" input_shape { dim: 1 dim: 2 } input: "b" input_shape { dim: 3 } layer { name: "x" }'
    new = """name: "n" layer { name: "input" type: "Input" top: "a" top: "b"
             input_param { shape { dim: 1 dim: 2 } shape { dim: 3 } } } layer { name: "x" }"""
    assert upgraded(old) == text_net(new)
    four = 'input: "a" input: "b" ' + ' '.join(f'input_dim: {i}' for i in range(1, 9))
    assert [list(s.dim) for s in upgraded(four).layer[0].input_param.shape] == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_an_old_net_runs():
    net = caffe.Net(
        text_net("""input: "data" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
                                layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip"
                                         inner_product_param { num_output: 5 } }
                                layers { name: "r" type: RELU bottom: "ip" top: "ip" }"""),
        caffe.TEST,
    )
    assert net.forward()['ip'].shape == (2, 5) and net.inputs == ['data']


def test_data_layers_parameters_move_to_transform_param():
    new = upgraded("""layers { name: "d" type: IMAGE_DATA top: "x" top: "y" image_data_param { source: "l" scale: 2
                      mirror: true crop_size: 3 mean_file: "m" } }""")
    assert new == text_net("""layer { name: "d" type: "ImageData" top: "x" top: "y" image_data_param { source: "l" }
                              transform_param { scale: 2 mirror: true crop_size: 3 mean_file: "m" } }""")


# types of C3D's that are another with other fields
C3D_NAMES = {'VIDEO_SEGMENTATION_DATA': 'VIDEO_WITH_VOXEL_TRUTH_DATA', 'VOXEL_SOFTMAX': 'SOFTMAX'}


def test_every_v1_type_has_a_name():
    for name in caffe_pb2.V1LayerParameter.LayerType.keys():
        new = upgraded(f'layers {{ name: "l" type: {name} }}')
        plain = C3D_NAMES.get(name, name).replace('_', '').replace('WITH', '').replace('NONE', '')
        assert new.layer[0].type.replace('With', '').upper() == plain


def test_v0_padding_merges_into_the_layer_it_feeds():
    new = upgraded("""input: "x" layers { layer { name: "p" type: "padding" pad: 3 } bottom: "x" top: "px" }
                      layers { layer { name: "c" type: "pool" kernelsize: 2 pool: AVE } bottom: "px" top: "c" }""")
    assert [layer.name for layer in new.layer] == ['c']
    assert new.layer[0].bottom == ['x'] and new.layer[0].pooling_param.pad == 3
    assert new.layer[0].pooling_param.pool == caffe_pb2.PoolingParameter.AVE


def test_input_shape_counts_where_input_dim_stands_too():
    new = upgraded('input: "x" input_shape { dim: 5 dim: 6 } input_dim: 1 input_dim: 2 input_dim: 3')
    assert [list(shape.dim) for shape in new.layer[0].input_param.shape] == [[5, 6]]
    assert not new.input_dim and not new.input_shape and not new.input


@pytest.mark.parametrize(
    'text,part',
    [
        ('layers { layer { name: "a" type: "odd" } }', "'a': unknown old type 'odd'"),
        ('layers { name: "a" } layer { name: "b" }', "'layer' and 'layers'"),
        ('layers { name: "a" } layers { layer { name: "b" type: "relu" } }', 'one version'),
        (
            'input: "x" layers { layer { name: "p" type: "padding" } bottom: "x" top: "p" } '
            'layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }',
            "'p' feeds layer 'r'",
        ),
        ('layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }', "unknown bottom blob 'p'"),
        ('input: "x" input_dim: 3', 'four input_dim'),
        ('input: "x" input: "y" input_dim: 3 input_dim: 3 input_dim: 3 input_dim: 3 input_dim: 3', 'four input_dim'),
        ('input: "x" input: "y" input_shape { dim: 3 }', 'one input_shape'),
    ],
)
def test_what_cannot_be_upgraded_is_named(text, part):
    with pytest.raises(CaffeError, match=part):
        upgraded(text)


def test_a_solver_with_both_types_is_refused():
    solver = caffe_pb2.SolverParameter(solver_type=1, type='SGD')
    with pytest.raises(CaffeError, match='solver_type and type'):
        read_solver(solver)


def weights_of(net_class, tmp_path):
    """A caffemodel whose layer 'ip' has legacy 4-axis blobs, in the form that `net_class` makes."""
    message, layer = net_class()
    layer.name = 'ip'
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[7, 8])
    path = tmp_path / 'old.caffemodel'
    path.write_bytes(message.SerializeToString())
    return str(path)


def v2():
    message = caffe_pb2.NetParameter()
    return message, message.layer.add(type='InnerProduct')


def v1():
    message = caffe_pb2.NetParameter()
    return message, message.layers.add(type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)


def v0():
    message = caffe_pb2.NetParameter()
    message.layers.add().layer.type = 'innerproduct'
    return message, message.layers[0].layer


@pytest.mark.parametrize('form', [v0, v1, v2])
def test_weights_of_every_age_load(form, tmp_path):
    net = caffe.Net(
        text_net("""input: "data" input_shape { dim: 1 dim: 3 } layer { name: "ip" type: "InnerProduct"
                                bottom: "data" top: "ip" inner_product_param { num_output: 2 } }"""),
        caffe.TEST,
    )
    net.copy_from(weights_of(form, tmp_path))
    assert np.array_equal(net.params['ip'][0].data, np.arange(6).reshape(2, 3))
    assert net.params['ip'][1].data.tolist() == [7, 8]


@pytest.mark.parametrize('name', ['det1', 'det2', 'det3'])
def test_published_weights_load(name):
    folder = SHARED / 'data' / 'mtcnn'
    if not folder.exists():
        pytest.skip('shared weights are absent')
    needed = {layer.type for layer in read_net(str(folder / f'{name}.prototxt')).layer}
    if not needed <= set(caffe.layer_type_list()):
        pytest.skip('layers of the published nets are not all built in')
    net = caffe.Net(str(folder / f'{name}.prototxt'), str(folder / f'{name}.caffemodel'), caffe.TEST)
    saved = dict(wire.read_weights(str(folder / f'{name}.caffemodel')))
    assert net.params
    for layer, blobs in net.params.items():
        for blob, values in zip(blobs, saved[layer]):
            assert np.array_equal(blob.data.ravel(), values.ravel()) and values.any()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(['old_v0', 'old_v1']), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8)
)
def test_damaged_old_nets_are_upgraded_or_refused(name, damage):
    content = bytearray(OLD[name])
    for position, byte in damage:
        content[position % len(content)] = byte
    net = caffe_pb2.NetParameter()
    try:
        net.ParseFromString(bytes(content))
    except DecodeError:
        return
    try:
        upgraded_net = read_net(net)
    except CaffeError as error:
        assert '\n' not in str(error)
    else:
        assert not upgraded_net.layers and not upgraded_net.input


@pytest.mark.parametrize('old,new', [(b'conv', b'\nonv'), (b'padding', b'paddin\r'), (b'padding', b'pa\x1b[1mg')])
def test_line_ends_and_terminal_codes_in_names_stay_out_of_the_message(old, new):
    net = caffe_pb2.NetParameter()
    net.ParseFromString(OLD['old_v0'].replace(old, new))
    with pytest.raises(CaffeError, match='layer') as failure:
        read_net(net)
    assert str(failure.value).isprintable() and repr(new.decode())[1:-1] in str(failure.value)


SCALED = 'layer { name: "p" type: "Power" power_param { scale: 2 } }'


@pytest.mark.parametrize(
    'content',
    [
        b'\xef\xbb\xbf' + SCALED.encode(),
        '# 卷积\n'.encode('gbk') + SCALED.encode(),
        SCALED.encode() + ' # größer'.encode('latin-1'),
        SCALED.replace(' ', '\r\n').encode(),
        SCALED.replace('2', '2.f').replace('"', "'").replace(' }', ', }', 1).encode(),
    ],
)
def test_texts_that_windows_and_other_encodings_leave_behind(content, tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_bytes(content)
    assert read_net(path) == text_net(SCALED)


@pytest.mark.parametrize(
    'content, message',
    [
        (SCALED.replace('"p"', '"卷"').encode('gbk'), r':1:15: a name or path that is not UTF-8 .*\(Power\)'),
        (SCALED.encode('utf-16'), 'is not text, expected a prototxt'),
    ],
)
def test_text_that_cannot_be_read_is_refused(content, message, tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_bytes(content)
    with pytest.raises(CaffeError, match=message):
        read_net(path)


@pytest.mark.parametrize('text', ['layer { include { phase: T\xe9 } }', 'layer { b\xe9: 1 }', 'n\xe9 { engine: 1 }'])
def test_names_and_values_of_other_encodings_are_refused(text, tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_bytes(text.encode('latin-1'))
    with pytest.raises(CaffeError, match='net.prototxt:.*expected a NetParameter'):
        read_net(path)


@pytest.mark.parametrize(
    'text, layer',
    [
        (
            'name: "n"\n'
            + SCALED
            + '\nlayer {\n name: "boxes" # {\n type: "PriorBox"\n prior_box_param { least_size: 3 }\n}',
            "'boxes' (PriorBox)",
        ),
        ("layers < name: 'd' type: DATA\n data_param { source: 'a { b' backing: 1 } >", "'d' (DATA)"),
        ('layer: {\n type: "ReLU" include { phase: TRIAN }\n name: "r" }', "'r' (ReLU)"),
        (SCALED + '\nlayer { name: "open" type: "TanH"', "'open' (TanH)"),
        # several layers on one line, and one that begins where another ends
        (SCALED + ' layer { name: "r" type: "ReLU" bogus: 1 } layer { name: "t" type: "TanH" }', "'r' (ReLU)"),
        (SCALED + ' layer { name: "r" type: "ReLU" } layer { name: "t" type: "TanH" top: }', "'t' (TanH)"),
        (SCALED + '\nlayer { name: "r"\ntype: "ReLU" } layer { name: "t" type: "TanH"\n bogus: 1 }', "'t' (TanH)"),
        ('layer { name: "größer" type: "ReLU" }\tlayer { name: "t" type: "TanH" phase: TRIAN }', "'t' (TanH)"),
    ],
)
def test_what_cannot_be_parsed_names_its_layer(text, layer):
    with pytest.raises(CaffeError) as caught:
        text_net(text)
    assert f'(layer {layer}, expected a NetParameter)' in str(caught.value)


def test_what_stands_outside_of_layers_names_none():
    with pytest.raises(CaffeError, match=r'named "bottom"\. \(expected a NetParameter\)'):
        text_net(SCALED + '\nbottom: "x"')
    with pytest.raises(CaffeError, match=r'named "bottom"\. \(expected a NetParameter\)'):
        text_net(SCALED + ' bottom: "x" ' + SCALED)


def test_layers_of_version_1_may_be_those_of_the_first_fast_rcnn_nets():
    text = (
        'layers { name: "r" type: ROI_POOLING bottom: "x" bottom: "rois" top: "y" roi_pooling_param { pooled_h: 6 } }'
    )
    net = read_net(parse_text(text, caffe_pb2.NetParameter(), 'test'))
    assert net.layer[0].type == 'ROIPooling' and net.layer[0].roi_pooling_param.pooled_h == 6
