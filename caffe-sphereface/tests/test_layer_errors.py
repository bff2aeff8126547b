"""Bad parameters and bottoms: one line that names the layer and what was expected."""

import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from layer_case import layer, make_net

IMAGE = {'x': (2, 4, 6, 5)}


def conv(text):
    return layer('Convolution', extra=f'convolution_param {{ {text} }}')


def pool(text):
    return layer('Pooling', extra=f'pooling_param {{ {text} }}')


CASES = [
    (conv('num_output: 4'), IMAGE, 'kernel_size is missing'),
    (conv('num_output: 4 kernel_size: 3 stride: 0'), IMAGE, r'stride is \(0, 0\), expected'),
    (conv('num_output: 4 kernel_size: 3 dilation: 0'), IMAGE, 'dilation is'),
    (conv('kernel_size: 3'), IMAGE, 'num_output is 0'),
    (conv('num_output: 6 kernel_size: 3 group: 3'), IMAGE, 'group 3 does not divide channels of the bottom, 4'),
    (conv('num_output: 5 kernel_size: 3 group: 2'), IMAGE, 'group 2 does not divide num_output, 5'),
    (conv('num_output: 4 kernel_size: 3 group: 0'), IMAGE, 'group 0 does not divide'),
    (conv('num_output: 4 kernel_size: 9'), IMAGE, 'larger than the padded input'),
    (conv('num_output: 4 kernel_size: 3 kernel_h: 3'), IMAGE, 'expected one of them'),
    (conv('num_output: 4 kernel_size: 3 kernel_size: 3 kernel_size: 3'), IMAGE, 'kernel_size is given 3 times'),
    (conv('num_output: 4 kernel_size: 3 axis: 4'), IMAGE, 'axis 4 is out of range'),
    (conv('num_output: 4 kernel_h: 3 kernel_w: 3'), {'x': (2, 4, 6)}, '2 spatial axes'),
    (conv('num_output: 4 kernel_size: 3'), {'x': (2, 4, 6, 5, 4, 3)}, 'expected at most 3'),
    (layer('Convolution', 'x', 'y z', 'convolution_param { num_output: 2 kernel_size: 1 }'), IMAGE, 'as many tops'),
    (
        layer('Convolution', 'x z', 'y v', 'convolution_param { num_output: 2 kernel_size: 1 }'),
        {**IMAGE, 'z': (2, 4, 6, 6)},
        r'bottoms have shapes \(2, 4, 6, 5\) and \(2, 4, 6, 6\), expected the same',
    ),
    (layer('Deconvolution', extra='convolution_param { num_output: 2 kernel_size: 1 pad: 3 }'), IMAGE, 'no output'),
    (pool(''), IMAGE, 'kernel_size is missing'),
    (pool('kernel_h: 2'), IMAGE, 'kernel_h alone'),
    (pool('kernel_size: 2 pad_w: 1'), IMAGE, 'has pad_w alone, expected pad_h and pad_w, or pad'),
    (pool('kernel_size: 2 stride_h: 2'), IMAGE, 'has stride_h alone, expected stride_h and stride_w, or stride'),
    (pool('kernel_size: 2 kernel_h: 2'), IMAGE, 'expected one of them'),
    (pool('kernel_size: 2 stride: 0'), IMAGE, 'stride is'),
    (pool('kernel_size: 2 pad: 2'), IMAGE, 'not smaller than the kernel'),
    (pool('kernel_size: 9'), IMAGE, 'larger than the padded input'),
    (pool('global_pooling: true stride: 2'), IMAGE, 'global_pooling'),
    (pool('global_pooling: true kernel_size: 2'), IMAGE, 'global_pooling as well as a kernel size'),
    (pool('global_pooling: true kernel_h: 6 kernel_w: 5'), IMAGE, 'global_pooling as well as a kernel size'),
    (pool('kernel_size: 2 pool: STOCHASTIC pad: 1'), IMAGE, 'STOCHASTIC'),
    (pool('kernel_size: 2'), {'x': (2, 4, 6)}, 'expected 4 axes'),
    (layer('Pooling', 'x', 'y m', 'pooling_param { pool: AVE kernel_size: 2 }'), IMAGE, 'MAX only'),
    (layer('Eltwise', 'a b'), {'a': (2, 3), 'b': (2, 4)}, r'bottom 1 has shape \(2, 4\)'),
    (layer('Eltwise', 'a b', extra='eltwise_param { coeff: 1 }'), {'a': (2,), 'b': (2,)}, '1 coeff for 2 bottoms'),
    (
        layer('Eltwise', 'a b', extra='eltwise_param { operation: PROD coeff: 1 coeff: 1 }'),
        {'a': (2,), 'b': (2,)},
        'SUM only',
    ),
    (layer('Eltwise', 'a'), {'a': (2,)}, 'has 1 bottom blobs, expected 2 or more'),
    (layer('Concat', 'a b'), {'a': (2, 3), 'b': (3, 3)}, 'but for axis 1'),
    (layer('Concat', 'a b', extra='concat_param { axis: 2 }'), {'a': (2, 3), 'b': (2, 3)}, 'axis 2 is out of range'),
    (layer('Concat', 'a b', extra='concat_param { axis: 1 concat_dim: 1 }'), {'a': (2, 3), 'b': (2, 3)}, 'one of them'),
    (layer('Slice', 'x', 'y z v'), IMAGE, 'cannot be cut into 3 equal parts'),
    (layer('Slice', 'x', 'y z', 'slice_param { slice_point: 5 }'), IMAGE, 'do not ascend'),
    (layer('Slice', 'x', 'y z', 'slice_param { slice_point: 1 slice_point: 2 }'), IMAGE, '2 slice_point for 2 tops'),
    (layer('BatchNorm', extra='param { lr_mult: 1 }'), IMAGE, 'param 0 has lr_mult'),
    (layer('Scale', 'x s'), {**IMAGE, 's': (3,)}, 'do not fit a bottom'),
    (layer('Scale', extra='scale_param { axis: 2 num_axes: 3 }'), IMAGE, 'num_axes 3 from axis 2'),
    (layer('Bias', 'x s'), {**IMAGE, 's': (3,)}, 'do not fit a bottom'),
    (layer('Dropout', extra='dropout_param { dropout_ratio: 1 }'), IMAGE, 'dropout_ratio is 1'),
    (layer('Flatten', extra='flatten_param { axis: 3 end_axis: 1 }'), IMAGE, 'lies before axis'),
    (layer('Reshape', extra='reshape_param { shape { dim: 7 } }'), IMAGE, 'holds 7 values'),
    (layer('Reshape', extra='reshape_param { shape { dim: -1 dim: -1 } }'), IMAGE, 'at most one -1'),
    (layer('Reshape', extra='reshape_param { shape { dim: -2 } }'), IMAGE, 'at most one -1'),
    (layer('Reshape', extra='reshape_param { axis: 3 shape { dim: 5 dim: 0 } }'), IMAGE, 'has no axis 4'),
    (layer('Reshape', extra='reshape_param { axis: 3 num_axes: 2 }'), IMAGE, 'out of range'),
    (layer('Softmax', extra='softmax_param { axis: 4 }'), IMAGE, 'axis 4 is out of range'),
    (layer('Normalize', extra='normalize_param { normalize_type: "L3" }'), IMAGE, 'expected L1 or L2'),
    (layer('LRN', extra='lrn_param { local_size: 4 }'), IMAGE, 'odd'),
    (layer('Crop', 'x r', extra='crop_param { offset: 4 }'), {**IMAGE, 'r': (2, 4, 3, 3)}, 'leaves the bottom'),
    (
        layer('Crop', 'x r', extra='crop_param { offset: 4 offset: 1 offset: 1 }'),
        {**IMAGE, 'r': (2, 4, 3, 3)},
        'offset is given 3 times',
    ),
    (layer('SPP'), IMAGE, 'pyramid_height'),
    (layer('SPP', extra='spp_param { pyramid_height: 5 }'), IMAGE, 'too small for'),
    (layer('Embed', 'x', 'y', 'embed_param { num_output: 3 }'), {'x': (2,)}, 'input_dim 0'),
    (layer('Tile'), IMAGE, 'tiles is missing'),
    (layer('ArgMax', extra='argmax_param { top_k: 5 axis: 1 }'), IMAGE, 'expected 1 to 4'),
    (layer('BatchReindex', 'x i'), {**IMAGE, 'i': (2, 2)}, 'the second to have 1 axis'),
    (layer('Filter', 'x s', 'y z'), {**IMAGE, 's': (2,)}, '2 tops for 1 bottoms'),
    (layer('Filter', 'x s', 'y'), {**IMAGE, 's': (3,)}, 'selector has 3 items'),
    (layer('Reduction', extra='reduction_param { axis: 5 }'), IMAGE, 'axis 5 is out of range'),
    (layer('Reduction'), {'x': ()}, 'axis 0 is out of range'),
    (layer('Scale', extra='scale_param { axis: 0 num_axes: 0 }'), {'x': ()}, 'axis 0 is out of range'),
    (layer('BatchNorm'), {'x': (4,)}, 'at least 2 axes'),
    (layer('PReLU'), {'x': (4,)}, 'at least 2 axes'),
    (layer('PReLU', extra='prelu_param { channel_shared: true }'), {'x': (4,)}, 'at least 2 axes'),
    (layer('MVN'), {'x': (2, 3, 2, 2, 2)}, 'at most 4 axes'),
    (layer('Im2col', extra='convolution_param { kernel_size: 1 }'), {'x': (2, 3)}, 'no spatial axes'),
    (layer('AbsVal', 'x', 'x'), IMAGE, 'cannot run in place'),
    (
        layer('InnerProduct', 'x w', extra='inner_product_param { num_output: 3 }'),
        {'x': (2, 4), 'w': (3, 5)},
        r'shape \(3, 5\) as a bottom, expected 12 values',
    ),
    (layer('MarginInnerProduct', 'x l', 'y'), {'x': (2, 3), 'l': (2,)}, 'num_output is 0'),
    (
        layer('MarginInnerProduct', 'x l', 'y', 'margin_inner_product_param { num_output: 3 }'),
        {'x': (2, 3), 'l': (3,)},
        'expected 2 for features',
    ),
    (
        layer('InterClass', 'x l', 'y', 'inter_class_param { num_output: 3 }'),
        {'x': (2, 3), 'l': (3,)},
        'expected 2 for features',
    ),
]


@pytest.mark.parametrize('text, shapes, message', CASES)
def test_one_clear_line(text, shapes, message):
    with pytest.raises(caffe.CaffeError, match=message) as error:
        make_net(text, shapes)
    assert str(error.value).startswith("layer 'layer' (")
    assert '\n' not in str(error.value)


NOT_IN_PLACE = {
    'ArgMax': '',
    'BatchReindex': '',
    'Convolution': 'convolution_param { num_output: 4 kernel_size: 1 }',
    'Concat': '',
    'Crop': '',
    'Deconvolution': 'convolution_param { num_output: 4 kernel_size: 1 }',
    'Eltwise': '',
    'Embed': 'embed_param { input_dim: 3 num_output: 2 }',
    'Filter': '',
    'Flatten': '',
    'Im2col': 'convolution_param { kernel_size: 1 }',
    'InnerProduct': 'inner_product_param { num_output: 4 }',
    'LRN': '',
    'Pooling': 'pooling_param { kernel_size: 2 }',
    'Reduction': '',
    'Reshape': 'reshape_param { shape { dim: 0 dim: -1 } }',
    'SPP': 'spp_param { pyramid_height: 2 }',
    'Slice': '',
    'SoftmaxWithLoss': '',
    'Split': '',
    'Tile': 'tile_param { tiles: 2 }',
}


@pytest.mark.parametrize('kind', NOT_IN_PLACE)
def test_a_layer_whose_top_is_not_like_its_bottom_is_refused_in_place(kind):
    two = kind in ('BatchReindex', 'Crop', 'Eltwise', 'Filter', 'SoftmaxWithLoss')
    with pytest.raises(caffe.CaffeError, match=rf"^layer 'layer' \({kind}\): cannot run in place.*'x'$"):
        make_net(layer(kind, 'x i' if two else 'x', 'x', NOT_IN_PLACE[kind]), {**IMAGE, 'i': (2,)})


def test_a_layer_written_in_python_may_run_in_place(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'doubling.py').write_text(
        'import caffe\nclass Double(caffe.Layer):\n    def forward(self, bottom, top): top[0].data[...] *= 2\n'
    )
    net = make_net(layer('Python', 'x', 'x', 'python_param { module: "doubling" layer: "Double" }'), {'x': (2,)})
    before = net.blobs['x'].data.copy()
    net.forward()
    assert net.blobs['x'].data.tolist() == (2 * before).tolist()


@pytest.mark.parametrize(
    'text, shapes',
    [
        (layer('Embed', 'i', 'y', 'embed_param { input_dim: 3 num_output: 2 }'), {'i': (2,)}),
        (layer('BatchReindex', 'x i'), {'x': (3, 2), 'i': (2,)}),
    ],
)
def test_an_index_out_of_range(text, shapes):
    net = make_net(text, shapes)
    for index in (-1, 3):
        net.blobs['i'].data[...] = [0, index]
        with pytest.raises(caffe.CaffeError, match='expected 0 to 2'):
            net.forward()


def test_no_gradient_for_learned_indices():
    learned = layer('Scale', 'i', 's', 'scale_param { axis: 0 }').replace('"layer"', '"scale"')
    param = text_format.Parse(
        learned
        + layer('BatchReindex', 'x s')
        + layer('Reduction', 'y', 'l', 'loss_weight: 1').replace('"layer"', '"loss"'),
        caffe_pb2.NetParameter(),
    )
    inputs = make_net('', {'x': (3, 2), 'i': (2,)}).param
    inputs.force_backward = False
    inputs.MergeFrom(param)
    net = caffe.Net(inputs, caffe.TRAIN)
    net.forward()
    with pytest.raises(caffe.CaffeError, match='bottom 1 holds indices'):
        net.backward()


FORCED = {
    'Accuracy': ('x i', 'no gradient', ''),
    'ArgMax': ('x', 'no gradient', ''),
    'BatchReindex': ('x i', 'bottom 1 holds indices', ''),
    'Embed': ('i', 'bottom 0 holds indices', 'embed_param { input_dim: 3 num_output: 2 }'),
    'Filter': ('x i', 'bottom 1 holds indices', ''),
    'InfogainLoss': ('x i H', 'bottom 2 holds the infogain matrix', ''),
    'Threshold': ('x', 'no gradient', ''),
}


@pytest.mark.parametrize('kind', FORCED)
def test_force_backward_reaches_what_has_no_gradient_as_in_genuine_caffe(kind):
    bottoms, message, extra = FORCED[kind]
    net = make_net(layer(kind, bottoms, extra=extra), {'x': (2, 3), 'i': (2,), 'H': (3, 3)})
    net.blobs['i'].data[...] = [0, 1]
    net.forward()
    with pytest.raises(caffe.CaffeError, match=rf"^layer 'layer' \({kind}\): .*{message}"):
        net.backward()


EMBED = """input: "i" input_shape { dim: 2 }
layer { name: "embed" type: "Embed" bottom: "i" top: "y" embed_param { input_dim: 3 num_output: 2 } }
layer { name: "best" type: "ArgMax" bottom: "y" top: "z" }"""


def test_what_fails_while_a_net_runs_names_its_file_and_layer(tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(EMBED)
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs['i'].data[...] = 7
    with pytest.raises(caffe.CaffeError, match=rf"^{path}: layer 'embed' \(Embed\): has indices from 7 to 7"):
        net.forward()
    net.layers[-1].param.argmax_param.top_k = 5
    for run in (net.reshape, net.forward):
        with pytest.raises(caffe.CaffeError, match=rf"^{path}: layer '[a-z]+' "):
            run()
    path.write_text('force_backward: true\n' + EMBED)
    net = caffe.Net(str(path), caffe.TEST)
    net.forward()
    with pytest.raises(caffe.CaffeError, match=rf"^{path}: layer 'best' \(ArgMax\): has no gradient"):
        net.backward()


def test_what_fails_while_a_solver_steps_names_the_file_of_the_net(tmp_path):
    path, solver = tmp_path / 'net.prototxt', tmp_path / 'solver.prototxt'
    label = (
        'layer { name: "l" type: "DummyData" top: "l" dummy_data_param { shape { dim: 2 } data_filler { value: 9 } } }'
    )
    path.write_text(
        f"""{label.replace('"l"', '"x"').replace('dim: 2', 'dim: 2 dim: 3')} {label}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" top: "loss" }}"""
    )
    solver.write_text(f'net: "{path}" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_after_train: false')
    with pytest.raises(caffe.CaffeError, match=rf"^net file: {path}: layer 'loss' .* has labels from 9 to 9"):
        caffe.get_solver(str(solver)).step(1)


def test_words_of_pytorch_come_with_the_shapes_they_are_about():
    net = make_net(layer('LRN'), {'x': (2, 1, 3, 0)})
    with pytest.raises(
        caffe.CaffeError, match=r"^layer 'layer' \(LRN\): cannot work on bottoms of shape \(2, 1, 3, 0\) \("
    ):
        net.forward()
