"""Channel groups: a pruned net gives what the whole net gives with the removed channels set to zero."""

from importlib import import_module

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from masking import assert_pruned_is_masked, masked_outputs, outputs, randomize
from random_nets import MOVES, NETS, build
from repository import ROOT, SHARED
from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune
from sphereslim.engine import caffe_pb2, caffe_root
from sphereslim.errors import SlimError
from sphereslim.net.costs import measure
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import find_layer, parse_net, read_net
from sphereslim.net.weights import blob_array, blob_shape, read_weights, set_blob_array
from sphereslim.rewrite import shrink

NETWORKS = (
    'sphereface-4',
    'sphereface-4-bn',
    'sphereface-10',
    'sphereface-20',
    'sphereface-36',
    'sphereface-64',
    'mobilenet-4',
    'mobilenet-10',
    'vgg16',
    'webface',
)


def input_of(net, rng):
    return {name: rng.normal(0, 1, net.blobs[name].data.shape) for name in net.inputs}


def assert_masked_is_pruned(proto, kept_of, seed=0):
    rng = np.random.default_rng(seed)
    groups = Groups(proto)
    whole = open_net(proto)
    randomize(whole, rng)
    inputs = input_of(whole, rng)
    # a caveat says where removing is more than masking
    kept = {group.name: kept_of(group, rng) for group in groups.prunable() if not group.caveats}
    return assert_pruned_is_masked(proto, whole, groups, kept, inputs)


def half(group, rng):
    """Half of a group, with its ends so that no part that a slice cuts off is left empty."""
    inner = 1 + rng.permutation(max(group.size - 2, 0))[: max(group.size // 2 - 2, 0)]
    return np.unique([0, group.size - 1, *inner])


def some(group, rng):
    return rng.choice(group.size, rng.integers(1, group.size + 1), replace=False)


@pytest.mark.parametrize('move', sorted(set(MOVES)))
@pytest.mark.parametrize('number', range(6))
def test_each_kind_of_layer_masked_equals_pruned(move, number):
    assert_masked_is_pruned(build([(move, 0, number), ('prelu', 1, 0)]), half, number)


@given(NETS, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_random_nets_masked_equals_pruned(proto, seed):
    try:
        assert_masked_is_pruned(proto, some, seed)
    except SlimError as error:
        assume('would be left without channels' not in str(error))
        raise


def test_a_flattened_sum_of_squeeze_and_excitation_has_all_places_of_its_channels():
    assert_masked_is_pruned(build([('axpy', 0, 0), ('flat', 0, 0)]), half)


@given(NETS)
@settings(max_examples=20, deadline=None)
def test_pruning_by_nothing_changes_nothing(proto):
    assert_nothing_changes(proto)


def assert_nothing_changes(proto):
    weights = weights_of(open_net(proto))
    groups = Groups(proto)
    for kept in ({group.name: np.arange(group.size) for group in groups.prunable()}, {}):
        (same,), same_weights = prune([proto], weights, kept, groups)
        assert same == proto
        assert same_weights.SerializeToString(deterministic=True) == weights.SerializeToString(deterministic=True)


def narrow(name):
    """The deploy net of a network at a quarter of its width: its groups are those of the whole one, and it is quick."""
    return shrink(read_net(ROOT / 'prototxt' / name / 'deploy.prototxt'), 0.25, keep_last=0)


def sphereface(*kinds):
    return [read_net(ROOT / 'prototxt' / 'sphereface-4' / f'{kind}.prototxt') for kind in kinds]


def parameters(net, without=()):
    return sum(
        int(np.prod(blob.data.shape)) for layer, blobs in net.params.items() if layer not in without for blob in blobs
    )


def test_sphereface_4_at_half_has_the_published_size():
    train, deploy = sphereface('train', 'deploy')
    groups = Groups(train, deploy)
    whole = open_net(deploy)
    assert parameters(whole) == 12_562_496
    kept = {f'conv{s}_1': np.arange(0, groups.of(f'conv{s}_1').size, 2) for s in (1, 2, 3, 4)}
    (new_train, new_deploy), weights = prune([train, deploy], weights_of(whole), kept, groups)
    pruned = open_net(new_deploy, weights)
    assert parameters(pruned) == 5_894_432
    widths = [
        [layer.convolution_param.num_output for layer in net.layer if layer.type == 'Convolution']
        for net in (new_train, new_deploy)
    ]
    assert widths == [[32, 64, 128, 256]] * 2
    inputs = input_of(whole, np.random.default_rng(0))
    expected = masked_outputs(whole, groups, groups.keep_mask(kept), inputs)['fc5']
    np.testing.assert_allclose(outputs(pruned, inputs)['fc5'], expected, atol=1e-5)


@pytest.mark.parametrize('name', NETWORKS)
def test_every_network_masked_equals_pruned_trunks_included(name):
    assert_masked_is_pruned(narrow(name), half)


@pytest.mark.parametrize('name', NETWORKS)
def test_every_network_pruned_by_nothing_keeps_its_bytes(name):
    assert_nothing_changes(narrow(name))


def test_only_first_convolutions_of_blocks_are_not_trunks():
    groups = Groups(read_net(ROOT / 'prototxt' / 'sphereface-10' / 'deploy.prototxt'))
    assert [group.name for group in groups.prunable() if not group.is_trunk] == [
        'conv1_1',
        'conv2_2',
        'conv3_2',
        'conv3_4',
        'conv4_1',
    ]
    assert groups.of('conv3_5') is groups.of('conv3_1')


def published(name):
    folder = SHARED / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'needs {folder}')
    return folder


def test_published_mobilefacenet_prunes_exactly_trunks_included():
    folder = published('mobilefacenet')
    net = read_net(folder / 'deploy.prototxt')
    weights = read_weights(folder / 'mobilefacenet.caffemodel')
    groups = Groups(net)
    assert [group.name for group in groups if not group.prunable] == ['pre_fc1']
    assert sorted(len(group.makers) for group in groups if group.is_trunk) == [3, 5, 7]
    rng = np.random.default_rng(0)
    kept = {group.name: half(group, rng) for group in groups.prunable()}
    (pruned,), pruned_weights = prune([net], weights, kept, groups)
    whole, inputs = open_net(net, weights), {'data': rng.normal(0, 0.5, (2, 3, 112, 112))}
    expected = masked_outputs(whole, groups, groups.keep_mask(kept), inputs)['fc1']
    found = outputs(open_net(pruned, pruned_weights), inputs)['fc1']
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert prune([net], weights, {}, groups)[1].SerializeToString() == weights.SerializeToString()


@pytest.mark.parametrize('kind', ['DepthwiseConvolution', 'ConvolutionDepthwise'])
def test_a_forks_depthwise_layers_have_the_groups_of_grouped_convolutions(kind):
    net = read_net(ROOT / 'prototxt' / 'mobilenet-4' / 'deploy.prototxt')
    groups = {group.name: (group.size, group.members) for group in Groups(net)}
    for layer in net.layer:
        param = layer.convolution_param
        if layer.type == 'Convolution' and param.group > 1:
            layer.type = kind
            param.stride[:] = list(param.stride) or [1]
    changed = {group.name: (group.size, group.members) for group in Groups(net)}
    assert {name: size for name, (size, _) in changed.items()} == {name: size for name, (size, _) in groups.items()}
    assert any(layer.type == kind for layer in net.layer)
    whole = measure(net, (1, 3, 112, 96))
    assert sum(layer.macs for layer in whole if layer.type == kind) > 0
    assert_masked_is_pruned(shrink(net, 0.25, keep_last=0), half)


def test_boxes_do_not_hold_the_channels_of_their_feature_map():
    net = small(
        'layer { name: "b" type: "PriorBox" bottom: "a" bottom: "data" top: "b" prior_box_param { min_size: 4 } }\n'
        + conv('c', 'a', 3)
    )
    assert 'a' in {group.name for group in Groups(net).prunable()}
    assert_masked_is_pruned(net, half)


@pytest.mark.parametrize(
    'layer, kept, message',
    [
        ('conv9', [0], "no layer 'conv9' in the net, expected one of: conv1_1, conv2_1, conv3_1, conv4_1"),
        ('fc5', [0], "layer 'fc5' cannot be pruned: blob 'fc5' is an output of the net"),
        ('data', [0], "layer 'data' cannot be pruned: it makes no channels (Input)"),
        ('conv1_1', [], "layer 'conv1_1': no channel would be left"),
        ('conv1_1', [64], "layer 'conv1_1': kept channels are to be different whole numbers from 0 to 63"),
        ('conv1_1', [1, 1], 'different whole numbers'),
        ('conv1_1', [0.5], 'different whole numbers'),
    ],
)
def test_bad_requests_get_one_line(layer, kept, message):
    with pytest.raises(SlimError) as error:
        Groups(*sphereface('deploy')).keep_mask({layer: kept})
    assert message in str(error.value) and '\n' not in str(error.value)


def test_two_names_of_one_group_are_refused():
    groups = Groups(read_net(ROOT / 'prototxt' / 'sphereface-10' / 'deploy.prototxt'))
    with pytest.raises(SlimError, match='lose their channels together'):
        groups.keep_mask({'conv3_1': [0], 'conv3_5': [0]})


def test_weights_of_another_net_are_refused():
    deploy = sphereface('deploy')
    other = build([('conv', 0, 0)])
    with pytest.raises(SlimError, match='hold none of the layers'):
        prune(deploy, weights_of(open_net(other)), {'conv1_1': [0]})
    (wider,) = sphereface('deploy')
    find_layer(wider, 'conv2_1').convolution_param.num_output = 130
    with pytest.raises(SlimError, match=r"layer 'conv2_1', blob 0, have shape \(130, 64, 3, 3\), expected 128"):
        prune(deploy, weights_of(open_net(wider)), {'conv1_1': [0]})


def test_a_layer_of_unknown_type_stops_pruning_and_is_named():
    net = parse_net("""layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 4, 4] } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param { num_output: 4 kernel_size: 1 } }
        layer { name: "odd" type: "Shuffle" bottom: "conv" top: "odd" }""")
    with pytest.raises(SlimError, match=r"'odd' \(Shuffle\), which is of a type whose channels are not followed"):
        Groups(net).of('conv')


@pytest.mark.skipif(caffe_root() is not None, reason='a genuine Caffe has its own layers alone')
def test_a_layer_of_ones_own_is_pruned_and_counted_as_its_class_says(monkeypatch):
    registry = import_module('caffe.layers.support.registry')
    parameters = import_module('caffe.layers.support.parameters')
    monkeypatch.setattr(registry, '_types', dict(registry._types))

    @registry.register('Gain')
    class Gain(registry.Layer):
        per_channel, channel_blobs = True, (0,)

        def setup(self, bottom, top):
            parameters.add_parameter(self, bottom[0].shape[1:2], caffe_pb2.FillerParameter())

        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].shape)

        def forward(self, bottom, top):
            top[0].tensor = bottom[0].tensor * self.blobs[0].tensor.reshape(-1, 1, 1)

        def macs(self, bottoms, tops):
            return bottoms[0][1] * tops[0][2]

    net = parse_net("""layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 4, 5] } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param { num_output: 6 kernel_size: 1 } }
        layer { name: "gain" type: "Gain" bottom: "conv" top: "gain" }
        layer { name: "fc" type: "InnerProduct" bottom: "gain" top: "fc" inner_product_param { num_output: 2 } }""")
    assert_masked_is_pruned(net, half)
    assert {layer.name: layer.macs for layer in measure(net)}['gain'] == 6 * 4
    Gain.per_channel = False
    with pytest.raises(SlimError, match=r"'gain' \(Gain\), which is of a type whose channels are not followed"):
        Groups(net).of('conv')


def test_sums_over_neighbouring_channels_are_said():
    net = build([('conv', 0, 0)])
    net.layer.insert(2, type(net.layer[0])(name='lrn', type='LRN', bottom=['convolution1'], top=['convolution1']))
    assert Groups(net).of('convolution1').caveats == ("'lrn' (LRN) divides by sums over neighbouring channels",)


def test_old_shapes_of_inner_products_are_cut():
    (deploy,) = sphereface('deploy')
    weights = weights_of(open_net(deploy))
    for layer in weights.layer:
        for blob in layer.blobs:
            shape = (1, 1, 1, 1, *blob.shape.dim)[-4:]
            blob.ClearField('shape')
            blob.num, blob.channels, blob.height, blob.width = shape
    _, cut = prune([deploy], weights, {'conv4_1': np.arange(256), 'conv1_1': np.arange(10)})
    shapes = {layer.name: [blob_shape(blob) for blob in layer.blobs] for layer in cut.layer}
    assert shapes['fc5'] == [(1, 1, 512, 256 * 42), (1, 1, 1, 512)]
    assert shapes['relu1_1'] == [(1, 1, 1, 10)]


def conv(name, bottom, outputs, extra=''):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
        f'convolution_param {{ num_output: {outputs} kernel_size: 1 {extra} }} }}\n'
    )


def small(text):
    """A net of `text` behind a convolution 'a' of 6 channels of pictures (2, 3, 5, 5)."""
    return parse_net(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3, 5, 5] } } }\n'
        + conv('a', 'data', 6)
        + text
    )


@pytest.mark.parametrize(
    'text, sizes',
    [
        ('layer { name: "p" type: "PReLU" bottom: "a" top: "a" prelu_param { channel_shared: true } }', {'a': 6}),
        (
            conv('b', 'data', 6)
            + 'layer { name: "c" type: "Concat" bottom: "a" bottom: "b" top: "c" concat_param { axis: 2 } }',
            {'a': 6},
        ),
        (
            conv('b', 'data', 4) + 'layer { name: "c" type: "Concat" bottom: "a" bottom: "b" top: "c" }',
            {'a': 6, 'b': 4},
        ),
        (
            'layer { name: "s" type: "Slice" bottom: "a" top: "s1" top: "s2" top: "s3" }\n'
            'layer { name: "c" type: "Concat" bottom: "s1" bottom: "s2" bottom: "s3" top: "c" }',
            {'a': 6},
        ),
        (conv('d', 'a', 6, 'group: 6'), {'a': 6}),
        (conv('d', 'a', 12, 'group: 6'), {'a': 6}),
        (conv('d', 'a', 4, 'group: 2'), {'a': 3, 'd': 2}),
    ],
)
def test_how_many_units_a_group_has(text, sizes):
    last = text.rsplit('top: "', 1)[1].split('"')[0]
    proto = small(text + conv('last', last, 3))
    assert {group.name: group.size for group in Groups(proto).prunable()} == sizes
    if 'Slice' not in text:
        assert_masked_is_pruned(proto, half)


@pytest.mark.parametrize(
    'text, reason',
    [
        (
            'layer { name: "f" type: "Flatten" bottom: "a" top: "f" flatten_param { end_axis: 2 } }',
            "they reach 'f' (Flatten), which mixes channels with other axes",
        ),
        (
            'layer { name: "r" type: "HDF5Data" top: "r" }\n'
            'layer { name: "e" type: "Eltwise" bottom: "a" bottom: "r" top: "e" }',
            "'e' (Eltwise) combines them with a blob whose channels are not known",
        ),
        (
            'layer { name: "r" type: "HDF5Data" top: "r" }\n'
            'layer { name: "e" type: "Scale" bottom: "a" bottom: "r" top: "e" scale_param { axis: 0 } }',
            "'e' (Scale) combines them with a blob whose channels are not known",
        ),
        (
            'layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 2 } } }\n'
            'layer { name: "i" type: "InterClass" bottom: "a" bottom: "l" top: "i" '
            'inter_class_param { num_output: 4 } }\n',
            "'i' (InterClass) has a row for every label",
        ),
        (
            'layer { name: "p" type: "Permute" bottom: "a" top: "p" permute_param { order: 0 order: 2 order: 3 } }',
            "they reach 'p' (Permute), which moves them to another axis",
        ),
        (
            'layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 2 } } }\n'
            'layer { name: "m" type: "CosinAddm" bottom: "a" bottom: "l" top: "m" }',
            "'m' (CosinAddm) takes them for classes",
        ),
        (
            'layer { name: "i" type: "InnerDistance" bottom: "a" top: "i" inner_distance_param { num_output: 4 } }',
            "they reach 'i' (InnerDistance), which takes distances, of which an input of zero is a part",
        ),
        (
            'layer { name: "s" type: "ShuffleChannel" bottom: "a" top: "s" shuffle_channel_param { group: 7 } }',
            "they reach 's' (ShuffleChannel), which has 7 groups, which do not divide their number",
        ),
    ],
)
def test_why_a_group_cannot_be_pruned(text, reason):
    assert reason in {group.reason for group in Groups(small(text))}


def test_a_blob_that_is_flat_stays_so_through_a_concat_of_it_alone():
    net = small(
        'layer { name: "f" type: "Flatten" bottom: "a" top: "f" }\n'
        'layer { name: "c" type: "Concat" bottom: "f" top: "c" }\n'
        'layer { name: "s" type: "Slice" bottom: "c" top: "s1" top: "s2" slice_param { slice_point: 75 } }'
    )
    assert Groups(net)[0].reason == "they reach 's' (Slice), which cuts at places that are not channels"


@pytest.mark.parametrize('phase', ['TRAIN', 'TEST'])
def test_an_output_of_one_phase_keeps_its_channels(phase):
    read = conv('b', 'a', 4).replace('name:', f'include {{ phase: {phase} }} name:')
    assert next(iter(Groups(small(read)))).reason == "blob 'a' is an output of the net"


def test_weights_of_another_picture_size_are_refused():
    net = small('layer { name: "fc" type: "InnerProduct" bottom: "a" top: "fc" inner_product_param { num_output: 3 } }')
    weights = weights_of(open_net(net))
    set_blob_array(weights.layer[-1].blobs[0], np.zeros((3, 6 * 25 + 1)))
    with pytest.raises(SlimError, match=r"layer 'fc', blob 0, have shape \(3, 151\), expected a multiple of 6"):
        prune([net], weights, {'a': [0]})


def test_weights_in_double_precision_are_cut():
    net = small(conv('b', 'a', 4))
    weights = weights_of(open_net(net))
    single = type(weights).FromString(weights.SerializeToString())
    for layer in weights.layer:
        for blob in layer.blobs:
            blob.double_data[:] = blob.data
            del blob.data[:]
    cut, same = (prune([net], w, {'a': [0, 3]})[1] for w in (weights, single))
    for layer, other in zip(cut.layer, same.layer):
        assert [blob_array(blob).tolist() for blob in layer.blobs] == [blob_array(b).tolist() for b in other.blobs]


SQUEEZE = """layer { name: "p" type: "Pooling" bottom: "a" top: "p" pooling_param { pool: AVE global_pooling: true } }
"""
GATES = {
    'flattened': f'{conv("down", "p", 2)} {conv("up", "down", 6)} '
    'layer { name: "flat" type: "Flatten" bottom: "up" top: "gate" }',
    'reshaped by -1': f'{conv("down", "p", 2)} {conv("up", "down", 6)} '
    'layer { name: "r" type: "Reshape" bottom: "up" top: "gate" reshape_param { shape { dim: 0 dim: -1 } } }',
    'reshaped by a number': f'{conv("down", "p", 2)} {conv("up", "down", 6)} '
    'layer { name: "r" type: "Reshape" bottom: "up" top: "gate" reshape_param { shape { dim: 0 dim: 6 } } }',
    'of inner products': 'layer { name: "f" type: "Flatten" bottom: "p" top: "f" } '
    'layer { name: "up" type: "InnerProduct" bottom: "f" top: "gate" inner_product_param { num_output: 6 } }',
    'there and back': f'{conv("down", "p", 2)} {conv("up", "down", 6)} '
    'layer { name: "f" type: "Flatten" bottom: "up" top: "f" } '
    'layer { name: "r" type: "Reshape" bottom: "f" top: "r" reshape_param { shape { dim: -1 dim: 6 dim: 1 dim: 1 } } } '
    'layer { name: "b" type: "Reshape" bottom: "r" top: "gate" reshape_param { shape { dim: 0 dim: -1 } } }',
}


@pytest.mark.parametrize('gate', GATES)
def test_squeeze_and_excitation_masked_equals_pruned(gate):
    net = small(
        SQUEEZE + GATES[gate] + 'layer { name: "s" type: "Sigmoid" bottom: "gate" top: "gate" }'
        'layer { name: "x" type: "Scale" bottom: "a" bottom: "gate" top: "x" scale_param { axis: 0 } }'
        + conv('end', 'x', 3)
    )
    group = Groups(net).of('a')
    assert set(group.makers) == {'a', 'up'} and group.size == 6
    assert_masked_is_pruned(net, half)


REGIONS = """layer { name: "r" type: "DummyData" top: "r"
    dummy_data_param { shape { dim: 2 dim: 5 } data_filler { value: 0 } } }
"""
WIDER = {
    'upsampled': 'layer { name: "w" type: "Upsample" bottom: "p" top: "w" upsample_param { scale: 3 } }',
    'interpolated': 'layer { name: "w" type: "Interp" bottom: "p" top: "w" interp_param { height: 2 width: 4 } }',
    'pooled by regions': REGIONS + 'layer { name: "w" type: "ROIPooling" bottom: "p" bottom: "r" top: "w" '
    'roi_pooling_param { pooled_h: 2 pooled_w: 2 } }',
    'aligned by regions': REGIONS + 'layer { name: "w" type: "ROIAlign" bottom: "p" bottom: "r" top: "w" '
    'roi_pooling_param { pooled_h: 2 pooled_w: 2 } }',
    'repeated': 'layer { name: "w" type: "Tile" bottom: "p" top: "w" tile_param { axis: 2 tiles: 3 } }',
    'put together': 'layer { name: "w" type: "Concat" bottom: "p" bottom: "p" top: "w" concat_param { axis: 3 } }',
    'padded': 'layer { name: "w" type: "ConvolutionDepthwise" bottom: "p" top: "w" '
    'convolution_param { num_output: 6 kernel_size: 1 pad: 1 stride: 1 } }',
    'multiplied out': 'layer { name: "w" type: "InnerProduct" bottom: "p" top: "w" '
    'inner_product_param { axis: 3 num_output: 4 } }',
}


@pytest.mark.parametrize('how', WIDER)
def test_one_value_of_each_channel_that_becomes_several_is_followed(how):
    net = small(
        SQUEEZE
        + WIDER[how]
        + 'layer { name: "f" type: "Flatten" bottom: "w" top: "f" }'
        + 'layer { name: "n" type: "BatchNorm" bottom: "f" top: "n" }'
        + 'layer { name: "end" type: "InnerProduct" bottom: "n" top: "end" inner_product_param { num_output: 3 } }'
    )
    assert 'a' in {group.name for group in Groups(net).prunable()}
    assert_masked_is_pruned(net, half)


SINGLES = ' '.join(f'top: "s{i}"' for i in range(6))


def test_channels_that_a_slice_gives_blobs_of_their_own_cannot_be_cut():
    join = ' '.join(f'bottom: "s{i}"' for i in range(6))
    net = small(
        f'layer {{ name: "cut" type: "Slice" bottom: "a" {SINGLES} }}'
        f'layer {{ name: "join" type: "Concat" {join} top: "join" }} {conv("end", "join", 3)}'
    )
    (group, _) = Groups(net)
    assert group.reason == "'cut' (Slice) makes blob 's0' of one channel"


def test_channels_beside_one_that_has_to_stay_can_be_cut():
    net = small(
        f'layer {{ name: "cut" type: "Slice" bottom: "a" top: "one" top: "rest" '
        f'slice_param {{ slice_point: 1 }} }} {conv("end", "rest", 3)} {conv("other", "one", 2)}'
    )
    group = Groups(net).of('a')
    assert group.caveats == ("but for channel 0: 'cut' (Slice) makes blob 'one' of one channel",)
    assert_masked_is_pruned(net, half)
