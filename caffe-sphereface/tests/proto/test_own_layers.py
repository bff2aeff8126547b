"""Layers of one's own: their fields, where their modules are found, and what is wrong with them in one line."""

import os
import subprocess
import sys
from types import ModuleType

import pytest
from google.protobuf import text_format

from caffe.errors import CaffeError
from caffe.layers.support import registry
from caffe.layers.support.own import import_own_layers
from caffe.layers.support.registry import check_types
from caffe.proto import caffe_pb2, own_layers
from caffe.proto.files import parse_text

FRAGMENT = """
syntax = "proto2";  // as protoc wants it
package caffe;
message GainParameter {
  enum Form { PLAIN = 0; SQUARE = 1; }
  message Part { required string name = 1; }
  optional float start = 1 [default = -1.5];
  repeated uint32 sizes = 2 [packed = true];
  optional Form form = 3 [default = SQUARE];
  optional FillerParameter filler = 4;
  repeated Part part = 5;
}
extend LayerParameter { /* like all others */
  optional GainParameter gain_param = 20001;
}
"""
MODULE = """
from caffe.layers.support.registry import Layer, register

@register('%s')
class Gain(Layer):
    bottoms = tops = 1
"""


@pytest.fixture
def found(monkeypatch):
    """A process that has looked for no layers of one's own yet, and in which no installed package has any."""
    monkeypatch.setattr(own_layers, '_installed', lambda: iter(()))
    monkeypatch.setattr(own_layers, 'found', own_layers.OwnLayers())
    monkeypatch.setattr(registry, '_types', dict(registry._types))
    for name in [name for name in sys.modules if name.startswith('caffe_layers_')]:
        monkeypatch.delitem(sys.modules, name)
    return lambda: own_layers.found


def load(monkeypatch, *entries):
    """caffe_pb2 with the fields of CAFFE_LAYERS, in a module of its own."""
    monkeypatch.setenv('CAFFE_LAYERS', os.pathsep.join(map(str, entries)))
    schema = ModuleType('schema')
    schema.DESCRIPTOR = caffe_pb2.DESCRIPTOR
    own_layers.load_fields(schema)
    return schema


def write(folder, name='gain', fragment=FRAGMENT, module=MODULE % 'Gain'):
    (folder / f'{name}.py').write_text(module)
    (folder / f'{name}.proto').write_text(fragment)
    return folder / f'{name}.py'


@pytest.mark.parametrize('as_folder', [False, True])
def test_fields_of_a_fragment_are_fields_like_all_others(tmp_path, monkeypatch, found, as_folder):
    path = write(tmp_path)
    schema = load(monkeypatch, tmp_path if as_folder else path)
    own_layers.check()
    text = 'layer { name: "g" gain_param { sizes: 2 sizes: 3 filler { type: "xavier" } part { name: "a" } } }'
    net = text_format.Parse(text, schema.NetParameter())
    (layer,) = schema.NetParameter.FromString(net.SerializeToString()).layer
    param = layer.gain_param
    assert (param.start, param.form, list(param.sizes), param.part[0].name) == (-1.5, param.SQUARE, [2, 3], 'a')
    assert layer.gain_param.filler.DESCRIPTOR.full_name == 'caffe.FillerParameter'


def test_modules_of_own_layers_are_imported(tmp_path, monkeypatch, found):
    load(monkeypatch, write(tmp_path))
    import_own_layers()
    check_types([caffe_pb2.LayerParameter(name='g', type='Gain')])


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        (
            'gain_param = 20001',
            'gain_param = 147',
            "field 'gain_param' of LayerParameter has number 147, expected 20000",
        ),
        ('gain_param', 'relu_param', "field 'relu_param' = 20001 of LayerParameter clashes with 'relu_param' = 123"),
        ('GainParameter', 'ReLUParameter', "there is a 'ReLUParameter' already, expected another name"),
        ('FillerParameter', 'FilerParameter', 'no valid schema .*FilerParameter'),
        ('repeated Part', 'many Part', r"gain.proto:11: 'many', expected optional, required, repeated or }"),
        ('[packed = true]', '[lazy = true]', "gain.proto:8: 'lazy', expected default or packed"),
        ('extend LayerParameter', 'extend NetParameter', "gain.proto:13: 'NetParameter', expected LayerParameter"),
        ('gain_param = 20001;\n}', 'gain_param = 20001;', "gain.proto:14: '', expected optional"),
    ],
)
def test_what_is_wrong_with_a_fragment_is_told_when_a_net_is_read(tmp_path, monkeypatch, found, old, new, message):
    load(monkeypatch, write(tmp_path, fragment=FRAGMENT.replace(old, new)))
    with pytest.raises(CaffeError, match=rf'^{tmp_path}/gain.proto.*') as caught:
        parse_text('', caffe_pb2.NetParameter(), 'net')
    assert caught.match(message) and '\n' not in str(caught.value)


def test_two_fragments_with_one_number_clash(tmp_path, monkeypatch, found):
    other = FRAGMENT.replace('GainParameter', 'OtherParameter').replace('gain_param', 'other_param')
    load(monkeypatch, write(tmp_path), write(tmp_path, 'other', other))
    with pytest.raises(
        CaffeError, match="other.proto: field 'other_param' = 20001 .* clashes with 'gain_param' = 20001"
    ):
        own_layers.check()


@pytest.mark.parametrize(
    ('module', 'message'),
    [
        ('import nothing_of_this_name', r'cannot be imported \(ModuleNotFoundError: No module'),
        (MODULE % 'ReLU', "layer type 'ReLU' is that of class ReLU in caffe.layers.activation"),
    ],
)
def test_a_module_that_cannot_be_used_is_told_when_a_net_is_built(tmp_path, monkeypatch, found, module, message):
    load(monkeypatch, write(tmp_path, module=module))
    import_own_layers()
    with pytest.raises(CaffeError, match=f'^{tmp_path}/gain.py: .*{message}'):
        check_types([])


def test_two_modules_of_one_name_clash(tmp_path, monkeypatch, found):
    (tmp_path / 'a').mkdir()
    load(monkeypatch, write(tmp_path), write(tmp_path / 'a', fragment='', module=''))
    import_own_layers()
    with pytest.raises(CaffeError, match=f'a/gain.py: .*{tmp_path}/gain.py has this name, too'):
        own_layers.check()


def test_a_place_without_modules_is_told(tmp_path, monkeypatch, found):
    for entry in (tmp_path, tmp_path / 'absent.py', write(tmp_path).with_suffix('.proto')):
        (tmp_path / 'gain.py').unlink(missing_ok=True)
        own_layers.found.problem = None
        load(monkeypatch, entry)
        with pytest.raises(CaffeError, match=rf'^CAFFE_LAYERS: {entry}: expected a .py file, or a folder of them'):
            own_layers.check()


NET = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }
layer { name: "gain" type: "Gain" bottom: "x" top: "y" gain_param { start: 2 } }
"""
FORWARD = """
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].tensor = bottom[0].tensor * self.param.gain_param.start
"""


def test_entry_points_of_installed_packages_name_modules(tmp_path):
    (tmp_path / 'my_layers').mkdir()
    (tmp_path / 'my_layers' / '__init__.py').write_text('import caffe\n')
    write(tmp_path / 'my_layers', module=MODULE % 'Gain' + FORWARD)
    (tmp_path / 'my_layers-1.dist-info').mkdir()
    (tmp_path / 'my_layers-1.dist-info' / 'METADATA').write_text('Name: my-layers\nVersion: 1\n')
    entries = tmp_path / 'my_layers-1.dist-info' / 'entry_points.txt'
    entries.write_text('[caffe.layers]\ngain = my_layers.gain\n')
    (tmp_path / 'net.prototxt').write_text(NET)
    code = "import caffe; print(caffe.Net('net.prototxt', caffe.TEST).forward(x=[3])['y'].tolist())"
    path = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
    environment = os.environ | {'PYTHONPATH': path, 'GLOG_minloglevel': '2'}

    def python(*words):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    assert python('-c', code) == (0, '[6.0]\n')
    entries.write_text('[caffe.layers]\ngain = my_layers.gane\n')
    status, said = python('-m', 'caffe', 'time', '-model', 'net.prototxt')
    assert status == 1 and 'my_layers/gane.py: cannot be imported' in said and said.count('\n') == 1
