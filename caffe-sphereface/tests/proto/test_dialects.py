"""Fields and numbers of other Caffes: settings in text, numbers in binary files, and which of them are guessed."""

import re

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe import process_state
from caffe.cli import upgrade
from caffe.cli.main import main
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, dialects, wire
from caffe.proto.dialects import guess, schema, settings, table
from caffe.proto.files import parse_text
from caffe.proto.upgrade import upgrade_net

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" %s convolution_param { num_output: 2 kernel_size: 3 %s } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 %s } }
"""
DETECTOR = (
    NET
    + """
layer { name: "n" type: "Normalize" bottom: "c" top: "n" norm_param { across_spatial: false } }
layer { name: "b" type: "PriorBox" bottom: "n" bottom: "x" top: "b" prior_box_param { min_size: 3.5 } }
layer { name: "m" type: "Permute" bottom: "n" top: "m" permute_param { order: 0 order: 2 order: 3 order: 1 } }
"""
)
FORKS = [name for name in dialects.names() if name != dialects.OURS]


@pytest.fixture(autouse=True)
def _every_warning_is_new():
    settings._warn.cache_clear()
    yield
    dialects.set_dialect(dialects.OURS)


def read(text, kind=caffe_pb2.NetParameter):
    return parse_text(text, kind(), 'net.prototxt')


def message_at(path):
    """The text of a net or solver with `{}` in the message that the names of `path` lead to."""
    return ''.join(f'{name} {{ ' for name in path) + '%s' + ' }' * len(path)


def paths():
    """{message name: (root class, names of the fields that lead to it)}, the shortest for each."""
    found, left = {}, [(kind.DESCRIPTOR, kind, ()) for kind in (caffe_pb2.SolverParameter, caffe_pb2.NetParameter)]
    while left:
        descriptor, kind, path = left.pop(0)
        if descriptor.name not in found:
            found[descriptor.name] = kind, path
            left += [
                (field.message_type, kind, (*path, field.name))
                for field in descriptor.fields
                if field.message_type and field.message_type.name != 'NetParameter'
            ]
    return found


def enum_field(descriptor, enum):
    return next(field.name for field in descriptor.fields if field.enum_type and field.enum_type.name == enum)


def statement(setting):
    """(root class, text that states the field or enum value of a line of settings.tsv)."""
    message, *enum = setting.message.split('.')
    kind, path = paths()[message]
    if enum:
        field = enum_field(getattr(caffe_pb2, message).DESCRIPTOR, enum[0])
        return kind, message_at(path) % f'{field}: {setting.field}'
    value = setting.value if re.fullmatch(r'[-\d.]+|true|false|[A-Z_]+|None', setting.value) else f'"{setting.value}"'
    return kind, message_at(path) % f'{setting.field}: {value}'


def lines_of(treatment):
    return [
        pytest.param(line, id=f'{line.message}.{line.field}')
        for line in table.settings().values()
        if line.treatment == treatment and line.message != '*'
    ]


@pytest.fixture
def shown_log(monkeypatch):
    """Lines of log are shown, whatever GLOG_minloglevel says."""
    monkeypatch.setattr(process_state.state.log, 'level', 0)


@pytest.mark.parametrize('line', lines_of('ignored'))
def test_settings_that_change_no_number_are_named_in_one_warning(line, capsys, shown_log):
    kind, text = statement(line)
    assert parse_text(text, kind(), 'file').ByteSize() <= 20
    (warning,) = capsys.readouterr().err.splitlines()
    asks = line.reason.startswith('precision')
    assert f'file: {"computed in 32 bits here" if asks else "without effect here"}' in warning and line.field in warning


def test_int8_of_intel_is_told_apart_from_what_changes_no_number(capsys, shown_log):
    conv = 'layer { type: "Convolution" convolution_param { conv_algorithm: "a" } quantization_param { bw_params: 8 } }'
    read(f'{conv} {conv}')
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.endswith(
        'without effect here, as it changes no number: convolution_param.conv_algorithm (2 times); '
        'computed in 32 bits here, whatever asks for fewer: quantization_param (2 times)'
    )


@pytest.mark.parametrize('line', lines_of('unless'))
def test_values_that_turn_nothing_on_are_accepted_and_others_refused(line):
    kind, text = statement(line)
    parse_text(text, kind(), 'file')
    with pytest.raises(CaffeError, match=rf'not implemented .*expected {re.escape(line.value)}; .*{line.dialects[0]}'):
        parse_text(text.replace(f'{line.field}: ', f'{line.field}: 7'), kind(), 'file')


@pytest.mark.parametrize('line', lines_of('refused'))
def test_what_would_change_numbers_is_refused_with_the_forks_that_have_it(line):
    kind, text = statement(line)
    with pytest.raises(CaffeError, match=rf'file:1: .*{line.field}.*not implemented.*{", ".join(line.dialects)}'):
        parse_text(text, kind(), 'file')


SIDES = 'pad_l: %d pad_r: %d pad_t: %d pad_b: %d'


def upgraded(text):
    return upgrade_net(read(text), 'net.prototxt')


def test_padding_of_each_side_is_plain_where_opposite_sides_are_equal():
    net = upgraded(NET % ('', SIDES % (2, 2, 1, 1), 'pool: AVE ' + SIDES % (1, 1, 0, 0)))
    conv, pool = net.layer[1].convolution_param, net.layer[2].pooling_param
    assert (conv.pad_w, conv.pad_h, pool.pad_w, pool.pad_h) == (2, 1, 1, 0)
    assert not (conv.HasField('pad_l') or pool.HasField('pad_b'))
    net = upgraded(NET % ('', SIDES % (2, 1, 1, 1), 'pad: 1 ' + SIDES % (0, 0, 0, 0)))
    conv, pool = net.layer[1].convolution_param, net.layer[2].pooling_param
    assert (conv.pad_l, conv.pad_r, conv.HasField('pad_h'), pool.pad, pool.HasField('pad_h')) == (2, 1, False, 1, False)


def test_settings_name_fields_that_caffe_proto_has_not():
    for line in table.settings().values():
        if line.message == '*':
            continue
        message, *inner = line.message.split('.')
        descriptor = getattr(caffe_pb2, message).DESCRIPTOR
        names = descriptor.enum_types_by_name[inner[0]].values_by_name if inner else descriptor.fields_by_name
        assert line.field not in names, line


@pytest.mark.parametrize('field', ['print_net_info', 'cudnn_limit', 'num_threads', 'mem_param', 'engine'])
def test_fields_of_unknown_schemas_are_judged_by_their_names(field, capsys, shown_log):
    value = '{ optimize_train: true }' if field == 'mem_param' else ': 1'
    assert read(f'name: "n" {field} {value} layer {{ name: "l" {field} {value} }}').layer[0].name == 'l'
    assert f'without effect here, as it changes no number: {field} (2 times)' in capsys.readouterr().err
    with pytest.raises(CaffeError, match='no field named "threshold"'):
        read(f'{field} {value} layer {{ threshold: 1 }}')


def test_all_other_fields_stay_where_they_are_and_keep_their_lines(capsys, shown_log):
    text = NET % ('forward_type: FLOAT16 quantization_param < bw: [1, 2] note: "}" >', 'engine: MKLDNN', '')
    assert read(text) == read(NET % ('', '', ''))
    with pytest.raises(CaffeError, match=r"net.prototxt:4:\d+ .*no field named \"no\"\. \(layer 'p' \(Pooling\)"):
        read(text.replace('stride: 2', 'no: 2'))
    assert capsys.readouterr().err.count('\n') == 1


def test_parameters_of_layers_that_are_not_here_are_read_and_written_whole():
    text = 'layer { name: "r" type: "Proposal" proposal_param { feat_stride: 16 ratio: 0.5 ratio: 1 anchor_ratio: 2 } }'
    net = read(NET % ('', '', '') + text)
    again = read(text_format.MessageToString(net))
    assert again == net and list(again.layer[-1].proposal_param.ratio) == [0.5, 1]


def test_layers_that_are_not_here_are_refused_with_the_forks_that_have_them_when_a_net_is_built():
    net = read('layer { name: "r" type: "DenseCRF" dense_crf_param { max_iter: 3 } } layer { type: "Foo" }')
    with pytest.raises(CaffeError) as error:
        caffe.Net(net, caffe.TEST)
    assert str(error.value).endswith(
        "layer 'r' has type 'DenseCRF', which is not implemented (further layers are of the unknown types 'Foo'); "
        'forks that have it: pspnet, synopsys'
    )


def test_a_layer_that_is_here_is_refused_with_the_parameter_of_one_that_is_not():
    net = read('layer { name: "s" type: "SmoothL1Loss" smoothl1_param { } }')
    with pytest.raises(CaffeError, match="layer 's' .SmoothL1Loss.: smoothl1_param: not implemented.*caffe-windows"):
        caffe.Net(net, caffe.TEST)


def test_fields_that_no_fork_has_in_such_a_parameter_are_refused_as_ever():
    with pytest.raises(CaffeError, match='has no field named "no_such"'):
        read('layer { name: "r" type: "DenseCRF" dense_crf_param { no_such: 3 } }')


@pytest.mark.parametrize('dialect', FORKS)
def test_a_dialect_has_its_fields_under_its_numbers(dialect):
    pool = schema._pool(dialect)
    rows = [row for row in table.fields() if dialect in row.dialects]
    latest = {(row.message, row.number): row for row in rows}
    assert rows
    for row in latest.values():
        if row.label == 'enum':
            found = pool.FindEnumTypeByName(f'caffe.{row.message}').values_by_number[int(row.number)].name
        else:
            found = pool.FindMessageTypeByName(f'caffe.{row.message}').fields_by_number[int(row.number)].name
        assert found == row.field


@pytest.mark.parametrize('dialect', FORKS)
def test_nets_are_written_and_read_in_every_dialect(dialect):
    has = schema.message_class(dialect, 'LayerParameter').DESCRIPTOR.fields_by_name
    net = read(NET % ('', 'bias_filler { type: "constant" value: 0.1 }', ''))
    net.layer[1].blobs.add(data=[1, 2.5], shape={'dim': [2]})
    del net.layer[: 'input_param' not in has]  # PSPNet has no Input layer yet
    for name in ('permute_param', 'flip_param', 'interp_param', 'center_loss_param', 'swish_param'):
        if name in has:
            layer = net.layer.add(name=name, type='Silence')
            getattr(layer, name).SetInParent()
    content = dialects.net_to_bytes(net, dialect)
    again, named = dialects.read_net(content, 'file', dialect)
    assert named == dialect and again.SerializeToString() == net.SerializeToString()


@pytest.mark.parametrize('dialect, numbers', [('ssd', {206, 203, 202}), ('synopsys', {206, 203, 202})])
def test_a_net_of_a_fork_has_the_numbers_of_the_fork(dialect, numbers):
    content = dialects.net_to_bytes(read(DETECTOR % ('', '', '')), dialect)
    plain = caffe_pb2.NetParameter.FromString(content)
    assert {field.field_number for layer in plain.layer for field in guess.UnknownFieldSet(layer)} == numbers
    assert dialects.read_net(content, 'file')[0].layer[3].norm_param.across_spatial is False


def test_what_a_dialect_has_not_cannot_be_written_in_it():
    with pytest.raises(CaffeError, match=r"net: layer 'n' \(Normalize\): dialect bvlc: .* named \"norm_param\""):
        dialects.net_to_bytes(read(DETECTOR % ('', '', '')), 'bvlc')


@pytest.mark.parametrize(
    'layer, dialect',
    [
        ('name: "r" type: "ROIPooling" roi_pooling_param { pooled_h: 2 pooled_w: 2 }', 'caffe-zf'),
        ('name: "s" type: "ShuffleChannel" shuffle_channel_param { group: 3 }', 'ncnn'),
        ('name: "s" type: "Swish" swish_param { beta: 2 }', 'bvlc'),
        ('name: "n" type: "Normalize" norm_param { across_spatial: false scale_filler { type: "constant" } }', 'ssd'),
        ('name: "l" type: "CenterLoss" center_loss_param { num_output: 9 }', 'caffe-face'),
        ('name: "i" type: "Interp" interp_param { height: 9 }', 'pspnet'),
    ],
)
def test_the_dialect_is_guessed_from_numbers_and_layer_types(layer, dialect):
    net = read(f'layer {{ {layer} }} layer {{ name: "r" type: "ReLU" relu_param {{ negative_slope: 0.1 }} }}')
    again, guessed = dialects.read_net(dialects.net_to_bytes(net, dialect), 'file')
    assert again.SerializeToString() == net.SerializeToString()
    assert dialects.net_to_bytes(net, guessed) == dialects.net_to_bytes(net, dialect)


def test_a_file_that_reads_in_two_ways_asks_for_the_dialect():
    content = dialects.net_to_bytes(read('layer { name: "d" pooling_param { ceil_mode: false } }'), 'arcface')
    with pytest.raises(CaffeError, match='reads differently in the dialects .*arcface.*expected -dialect NAME'):
        dialects.read_net(content, 'file')
    assert dialects.read_net(content, 'file', 'arcface')[0].layer[0].pooling_param.ceil_mode is False


def test_a_wrong_or_unknown_dialect_is_refused():
    content = dialects.net_to_bytes(read(DETECTOR % ('', '', '')), 'ssd')
    with pytest.raises(CaffeError, match="file: layer 'n': field 206 of LayerParameter, which dialect bvlc has"):
        dialects.read_net(content, 'file', 'bvlc')
    with pytest.raises(CaffeError, match="no dialect 'sdd', expected one of sphereface, arcface"):
        dialects.read_net(content, 'file', 'sdd')
    with pytest.raises(CaffeError, match='file: is not a whole binary net'):
        dialects.read_net(content[:-1], 'file')


@pytest.mark.parametrize('number', [147, 148, 13, 45, 8266711])
@pytest.mark.parametrize('kind', [0, 1, 2, 5])
def test_weights_are_read_whatever_other_fields_a_fork_puts_beside_them(number, kind, tmp_path):
    net = caffe_pb2.NetParameter()
    net.layer.add(name='c').blobs.add(data=[1, 2], shape={'dim': [2]})
    body = {0: b'\x05', 1: b'12345678', 2: b'\x04\xff\xff\xff\xff', 5: b'1234'}[kind]
    stranger = _varint(number << 3 | kind) + body
    layer = net.layer[0].SerializeToString() + stranger
    content = b'\xa2\x06' + _varint(len(layer)) + layer + stranger
    (tmp_path / 'w').write_bytes(content)
    ((name, arrays),) = wire.read_weights(tmp_path / 'w')
    assert name == 'c' and arrays[0].tolist() == [1, 2]


def _varint(number):
    head = b''
    while number > 0x7F:
        head += bytes([number & 0x7F | 0x80])
        number >>= 7
    return head + bytes([number])


@pytest.mark.parametrize('kind, dtype', [('FLOAT16', '<f2'), ('FLOAT', '<f4'), ('DOUBLE', '<f8'), ('INT', '<i4')])
def test_nvidias_form_of_values_is_read(kind, dtype, tmp_path):
    net = caffe_pb2.NetParameter()
    values = np.array([[1, -2], [3, 4]], dtype)
    net.layer.add(name='c').blobs.add(raw_data_type=kind, raw_data=values.tobytes(), shape={'dim': [2, 2]})
    (tmp_path / 'w').write_bytes(net.SerializeToString())
    assert (wire.read_weights(tmp_path / 'w')[0][1][0] == values).all()


def test_a_net_is_saved_in_the_chosen_dialect(tmp_path):
    net = caffe.Net(read(NET % ('', '', 'round_mode: FLOOR')), caffe.TEST)
    caffe.set_dialect('ssd')
    net.save(str(tmp_path / 'w'))
    saved, _ = wire.read_net(tmp_path / 'w', 'ssd')
    assert saved.layer[2].pooling_param.round_mode == caffe_pb2.PoolingParameter.FLOOR
    assert [name for name, arrays in wire.read_weights(tmp_path / 'w') if arrays] == ['c']


TRAINED = """
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "n" type: "%s" bottom: "x" top: "n" %s }
layer { name: "ip" type: "InnerProduct" bottom: "n" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""


def train_in(dialect, folder, kind, parameter=''):
    (folder / 'net.prototxt').write_text(TRAINED % (kind, parameter))
    solver = folder / 'solver.prototxt'
    solver.write_text(
        f'net: "{folder}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "{folder}/s"'
    )
    return main(['train', '-solver', str(solver), '-dialect', dialect])


def test_training_writes_the_numbers_of_a_fork(tmp_path):
    assert train_in('bvlc', tmp_path, 'Swish', 'swish_param { beta: 2 }') == 0
    net = schema.message_class('bvlc', 'NetParameter').FromString((tmp_path / 's_iter_1.caffemodel').read_bytes())
    assert net.layer[1].swish_param.beta == 2 and len(net.layer[2].blobs) == 2


def test_a_dialect_without_a_layer_of_the_net_is_refused_before_training(tmp_path, capsys):
    assert train_in('fast-rcnn', tmp_path, 'Swish', 'swish_param { beta: 2 }') == 1
    assert "layer 'n' (Swish): dialect fast-rcnn: " in capsys.readouterr().err.splitlines()[-1]
    assert train_in('caffee', tmp_path, 'ReLU') == 1
    assert "no dialect 'caffee', expected one of sphereface" in capsys.readouterr().err
    assert not list(tmp_path.glob('s_iter*'))


def test_binary_nets_are_upgraded_from_one_dialect_into_another(tmp_path, capsys):
    net = read(NET % ('', '', '') + 'layer { name: "m" type: "Permute" permute_param { order: 1 } }')
    net.layer[1].blobs.add(data=[3], shape={'dim': [1]})
    (tmp_path / 'old').write_bytes(dialects.net_to_bytes(net, 'ssd'))
    old, new = str(tmp_path / 'old'), str(tmp_path / 'new')
    assert upgrade.net_binary([old, new]) == 0
    assert (tmp_path / 'new').read_bytes() == (tmp_path / 'old').read_bytes()
    assert upgrade.net_binary(['-dialect=ssd', '-output_dialect', 'arcface', old, new]) == 0
    assert (tmp_path / 'new').read_bytes() == dialects.net_to_bytes(net, 'arcface')
    assert upgrade.net_binary(['-output_dialect', 'caffe-face', old, new]) == 1
    assert "layer 'm' (Permute): dialect caffe-face" in capsys.readouterr().err


def test_damaged_binary_nets_end_in_one_clear_error():
    content = bytearray(dialects.net_to_bytes(read(DETECTOR % ('', '', '')), 'ssd'))
    chosen, refused = np.random.default_rng(1), 0
    for dialect in (None, 'ssd', 'intel', dialects.OURS) * 50:
        damaged = content.copy()
        for _ in range(chosen.integers(1, 5)):
            damaged[chosen.integers(len(damaged))] = chosen.integers(256)
        try:
            dialects.read_net(bytes(damaged), 'file', dialect)
        except CaffeError as error:
            refused += 1
            assert str(error).startswith('file') and '\n' not in str(error)
    assert refused > 50
