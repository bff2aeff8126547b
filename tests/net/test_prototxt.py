"""The committed networks are what the generator writes, and read, write and rewrite of prototxts."""

import subprocess
import sys

import pytest
from google.protobuf import text_format
from repository import PROTOTXT_FILES as FILES
from repository import ROOT
from sphereslim.channels.groups import Groups
from sphereslim.engine import caffe_pb2, caffe_root
from sphereslim.errors import SlimError
from sphereslim.net import inputs, prototxt, weights
from sphereslim.net import text as prototext
from sphereslim.net.engine_check import check_engine

NETS = [path for path in FILES if not path.name.startswith('solver')]
SOLVERS = [path for path in FILES if path.name.startswith('solver')]
TWO_SOURCES = """
layer { name: "a" type: "Data" top: "data" top: "label" include { phase: TRAIN } transform_param { crop_size: 20 } }
layer { name: "b" type: "Data" top: "data" top: "label" include { phase: TEST } transform_param { crop_size: 20 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
"""


def _id(path):
    return str(path.relative_to(ROOT / 'prototxt'))


def test_generator_writes_the_committed_files_and_no_others_exist():
    done = subprocess.run([sys.executable, ROOT / 'prototxt/generate.py', '--check'], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'{len(FILES)} of {len(FILES)} files' in done.stdout


@pytest.mark.parametrize('path', NETS, ids=_id)
def test_net_is_well_formed(path):
    net = prototxt.read_net(path)
    names = [layer.name for layer in net.layer]
    assert net.name and len(set(names)) == len(names)
    made = set()
    for layer in net.layer:
        assert made.issuperset(layer.bottom), layer.name
        made.update(layer.top)


@pytest.mark.parametrize('path', SOLVERS, ids=_id)
def test_solver_names_a_net_of_this_project(path):
    solver = prototxt.read_solver(path)
    assert (ROOT / solver.net).is_file()
    assert not solver.HasField('solver_mode')


@pytest.mark.parametrize('path', [path for path in NETS if path.name == 'train.prototxt'], ids=_id)
def test_deploy_has_the_layers_of_train(path):
    deploy = path.with_name('deploy.prototxt')
    if not deploy.exists():
        return
    trained = {layer.name: layer for layer in prototxt.read_net(path).layer}
    for layer in prototxt.read_net(deploy).layer:
        if layer.type in ('Convolution', 'InnerProduct'):
            field = 'convolution_param' if layer.type == 'Convolution' else 'inner_product_param'
            assert getattr(layer, field).num_output == getattr(trained[layer.name], field).num_output


@pytest.mark.parametrize('depth, convolutions', ((4, 4), (10, 10), (20, 20), (36, 36), (64, 62)))
def test_sphereface_depth_is_its_convolutions(depth, convolutions):
    """SphereFace-64 has one block less in its second stage than the number in its name asks for."""
    net = prototxt.read_net(ROOT / f'prototxt/sphereface-{depth}/deploy.prototxt')
    assert sum(layer.type == 'Convolution' for layer in net.layer) == convolutions


def test_one_gpu_has_the_lambda_of_two():
    for margin in (1, 2, 3, 4):
        folder = ROOT / f'prototxt/sfplus/m{margin}'
        forwards = prototxt.read_solver(folder / 'solver_one_gpu.prototxt').iter_size
        one, two = (_margin(prototxt.read_net(folder / f'train{suffix}.prototxt')) for suffix in ('_one_gpu', ''))
        for iteration in (1, 50, 4000):
            assert 1 + one.gamma * (one.iteration + forwards * iteration) == pytest.approx(
                1 + two.gamma * (two.iteration + iteration)
            )


def _margin(net):
    return prototxt.find_layer(net, 'fc6').margin_inner_product_param


@pytest.mark.parametrize('path', FILES, ids=_id)
def test_text_round_trip(path):
    read = prototxt.read_solver if path in SOLVERS else prototxt.read_net
    message = read(path)
    parsed = caffe_pb2.SolverParameter() if path in SOLVERS else caffe_pb2.NetParameter()
    text_format.Parse(prototext.to_text(message, 'a comment\nof two lines'), parsed)
    assert parsed == message


@pytest.mark.parametrize('value', (1e-5, 0.1, 1 / 3, 1e10, 3.4e38, 1e-40, float('inf'), -0.0, 16777217.0))
def test_floats_survive_writing(value):
    net = caffe_pb2.NetParameter(layer=[{'name': 'a', 'loss_weight': [value]}])
    assert prototxt.parse_net(prototext.to_text(net)).layer[0].loss_weight == net.layer[0].loss_weight


def test_weights_are_left_out_of_the_text():
    net = caffe_pb2.NetParameter(layer=[{'name': 'a', 'blobs': [{'data': [1, 2]}]}])
    assert 'blobs' not in prototext.to_text(net)


def test_errors_name_file_line_and_field(tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text('name: "x"\nlayer { name: "a"\n  typ: "ReLU" }\n')
    with pytest.raises(SlimError, match=r'net\.prototxt:3:.*typ'):
        prototxt.read_net(path)
    with pytest.raises(SlimError, match='cannot be read'):
        prototxt.read_net(tmp_path / 'none.prototxt')
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(SlimError, match='expected a prototxt'):
        prototxt.read_net(path)
    path.write_text('layers { name: "a" type: RELU } layer { name: "b" type: "ReLU" }')
    with pytest.raises(SlimError, match="net.prototxt: has 'layer' and 'layers' blocks"):
        prototxt.read_net(path)
    path.write_text(
        'input: "x" layer { name: "a" type: "ReLU" bottom: "x" top: "y" } '
        'layer { name: "b" type: "ReLU" bottom: "z" top: "z" }'
    )
    with pytest.raises(SlimError, match=r"net\.prototxt: layer 'b' reads blob 'z', which no layer before it makes"):
        prototxt.read_net(path)


@pytest.mark.parametrize('encoding', ['latin-1', 'gbk', 'utf-8-sig'])
def test_comments_may_be_in_any_encoding(tmp_path, encoding):
    path, comment = tmp_path / 'net.prototxt', '网络' if encoding == 'gbk' else 'größer'
    path.write_bytes(f'name: "x" # {comment}\nlayer {{ name: "a" type: "ReLU" }} # {comment}\n'.encode(encoding))
    assert prototxt.read_net(path) == prototxt.parse_net('name: "x" layer { name: "a" type: "ReLU" }')
    path.write_bytes(f'type: "SGD" # {comment}'.encode(encoding))
    assert prototxt.read_solver(path).type == 'SGD'


def test_a_layer_that_no_caffe_has_is_found_under_comments_in_any_encoding(tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_bytes('# größer\nlayer { name: "a" type: "Rotor" }'.encode('latin-1'))
    with pytest.raises(SlimError, match="has no layer type Rotor .*net.prototxt, layer 'a'"):
        check_engine([path])


def test_fields_are_utf_8(tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_bytes('name: "x"\nlayer { name: "größer" type: "ReLU" }\n'.encode('latin-1'))
    with pytest.raises(SlimError, match=r'net\.prototxt:2:.*: a name or path that is not UTF-8') as error:
        prototxt.read_net(path)
    assert str(error.value).isascii()
    path.write_bytes('name: "größer" layer { name: "a" type: "ReLU" }'.encode())
    assert prototxt.read_net(path).name == 'größer'


def test_writing_keeps_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / 'net.prototxt'
    prototxt.write_prototxt(path, caffe_pb2.NetParameter(name='x'), 'why')
    with pytest.raises(SlimError, match='cannot be written'):
        prototxt.write_prototxt(path / 'net.prototxt', caffe_pb2.NetParameter(name='y'))
    assert path.read_text() == '# why\nname: "x"\n'
    assert [p.name for p in tmp_path.iterdir()] == ['net.prototxt']


def test_inputs_stand_for_data_layers():
    net = prototxt.parse_net(TWO_SOURCES)
    single = inputs.with_inputs(net)
    assert [layer.type for layer in single.layer] == ['Input', 'InnerProduct']
    assert [list(s.dim) for s in single.layer[0].input_param.shape] == [[1, 3, 20, 20], [1]]
    wide = inputs.with_inputs(net, (4, 1, 8, 6)).layer[0].input_param
    assert [list(s.dim) for s in wide.shape] == [[4, 1, 8, 6], [4]]
    assert net.layer[0].type == 'Data'


def test_inputs_of_unknown_size_are_an_error():
    net = prototxt.read_net(ROOT / 'prototxt/sphereface-4/train.prototxt')
    with pytest.raises(SlimError, match='sphereface-4.*how large'):
        inputs.with_inputs(net)


def test_old_inputs_become_input_layers():
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 10'
    assert inputs.input_shape(prototxt.parse_net(text)) == (1, 3, 12, 10)
    text = 'input: "a" input_shape { dim: 2 dim: 3 } input: "b" input_shape { dim: 2 }'
    assert [list(layer.input_param.shape[0].dim) for layer in prototxt.parse_net(text).layer] == [[2, 3], [2]]


def test_data_source_is_set():
    net = prototxt.read_net(ROOT / 'prototxt/sphereface-4/train.prototxt')
    image = prototxt.with_data(net, 'list.txt', 'root/', 8).layer[0].image_data_param
    assert (image.source, image.root_folder, image.batch_size) == ('list.txt', 'root/', 8)
    with pytest.raises(SlimError, match='no ImageData'):
        prototxt.with_data(prototxt.parse_net(TWO_SOURCES), 'list.txt')


OLD = """input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "conv" top: "fc" inner_product_param { num_output: 2 } }
"""


def test_an_old_net_is_read_in_the_present_form(tmp_path):
    path = tmp_path / 'old.prototxt'
    path.write_text(OLD)
    net = prototxt.read_net(path)
    assert [(layer.name, layer.type) for layer in net.layer[1:]] == [('conv', 'Convolution'), ('fc', 'InnerProduct')]
    assert [spec.lr_mult for spec in net.layer[1].param] == [1, 2] and not net.layers
    assert Groups(net).of('conv').size == 4


def test_on_a_genuine_build_its_own_tool_upgrades_old_nets(tmp_path, monkeypatch):
    path, tool = tmp_path / 'old.prototxt', tmp_path / 'build' / 'tools' / 'upgrade_net_proto_text'
    path.write_text(OLD)
    expected = prototxt.read_net(path)
    monkeypatch.setenv('CAFFE_ROOT', str(tmp_path))
    with pytest.raises(SlimError, match='old.prototxt: old form with `layers`.* is not there'):
        prototxt.read_net(path)
    tool.parent.mkdir(parents=True)
    tool.write_text(f'#!{sys.executable}\nfrom caffe.cli.upgrade import net_text\nraise SystemExit(net_text())\n')
    tool.chmod(0o755)
    assert prototxt.read_net(path) == expected
    tool.write_text('#!/bin/sh\necho no room >&2\nexit 1\n')
    with pytest.raises(SlimError, match='old.prototxt: .*upgrade_net_proto_text failed: no room'):
        prototxt.read_net(path)


FORK_NET = """name: "n" default_forward_type: FLOAT16
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" quantization_param { bw_params: 8 }
  convolution_param { num_output: 2 kernel_size: 1 engine: MKLDNN } }
"""


@pytest.mark.skipif(caffe_root() is not None, reason='a genuine Caffe has the fields that it has')
def test_settings_of_forks_are_left_out_or_refused_in_a_line():
    net = prototxt.parse_net(FORK_NET, 'fork.prototxt')
    assert [layer.name for layer in net.layer] == ['x', 'c'] and net.layer[1].convolution_param.num_output == 2
    with pytest.raises(SlimError, match=r"fork.prototxt:4: layer 'c' \(Convolution\): .*relu true.* sophgo, intel"):
        prototxt.parse_net(FORK_NET.replace('engine: MKLDNN', 'relu: true'), 'fork.prototxt')


@pytest.mark.skipif(caffe_root() is not None, reason='a genuine Caffe reads its own numbers')
def test_weights_beside_a_number_that_means_something_else_are_read(tmp_path):
    layer = caffe_pb2.LayerParameter(name='c', type='Convolution', blobs=[{'data': [1, 2], 'shape': {'dim': [2]}}])
    content = layer.SerializeToString() + b'\x9a\x09\x02\xff\xff'  # field 147, a message here, other bytes there
    (tmp_path / 'w').write_bytes(b'\xa2\x06' + bytes([len(content)]) + content)
    (read,) = weights.read_weights(tmp_path / 'w').layer
    assert weights.blob_array(read.blobs[0]).tolist() == [1, 2]
    assert read.SerializeToString() == layer.SerializeToString()


@pytest.mark.skipif(caffe_root() is not None, reason='a genuine Caffe has the fields that it has')
def test_weights_of_16_bits_are_read():
    blob = caffe_pb2.BlobProto(raw_data_type='FLOAT16', raw_data=b'\0\x3c\0\xc0', shape={'dim': [2]})
    assert weights.blob_array(blob).tolist() == [1, -2]
