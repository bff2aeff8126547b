"""PyTorch modules and the nets that their weights are imported into compute the same."""

import numpy as np
import pytest
import torch
from torch import nn

import caffe
from caffe.cli.main import main
from caffe.net.state_dict import import_state_dict
from layer_case import make_net

NET = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "b" }
layer { name: "scale" type: "Scale" bottom: "b" top: "b" scale_param { bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "b" top: "p" }
layer { name: "up" type: "Deconvolution" bottom: "p" top: "u" convolution_param { num_output: 2 kernel_size: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "u" top: "y" inner_product_param { num_output: 3 } }
"""
MAP = 'conv 0  # the first\nbn 1\nscale 1\n\nprelu[0] 2.weight\nup 3\nfc 5\n'
SHAPES = {'x': (2, 3, 6, 6)}


@pytest.fixture
def module():
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.ConvTranspose2d(4, 2, 2), nn.Flatten(), nn.Linear(50, 3)
    )
    with torch.no_grad():
        made[1].running_mean.uniform_(-1, 1)
        made[1].running_var.uniform_(0.5, 2)
    return made.eval()


def written(path, value):
    """`path` with `value` in it: text, or what torch saves."""
    path.write_text(value) if isinstance(value, str) else torch.save(value, path)
    return str(path)


def test_a_whole_network(module, tmp_path):
    net = make_net(NET, SHAPES)
    state = {'state_dict': {f'module.{key}': value for key, value in module.state_dict().items()}}
    import_state_dict(net, written(tmp_path / 's.pth', state), written(tmp_path / 'map', MAP))
    want = module(torch.from_numpy(net.blobs['x'].data)).detach().numpy()
    assert np.allclose(net.forward()['y'], want, atol=1e-5)


def test_the_bn_of_pspnet_is_a_whole_batch_norm(module, tmp_path):
    norm = module[1]
    with torch.no_grad():
        norm.weight.uniform_(-2, 2)
        norm.bias.uniform_(-1, 1)
    net = make_net('layer { name: "bn" type: "BN" bottom: "x" top: "y" }', {'x': (2, 4, 3, 5)})
    import_state_dict(net, written(tmp_path / 's.pth', module.state_dict()), written(tmp_path / 'map', 'bn 1\n'))
    want = norm(torch.from_numpy(net.blobs['x'].data)).detach().numpy()
    np.testing.assert_allclose(net.forward()['y'], want, atol=1e-5)


def test_lstm_gates_are_reordered(tmp_path):
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 4)
    net = make_net(
        'layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "y" recurrent_param { num_output: 4 } }',
        {'x': (3, 2, 5), 'c': (3, 2)},
    )
    net.blobs['c'].data[...] = [[0, 0], [1, 1], [1, 1]]
    state = {f'rnn.{key}': value for key, value in lstm.state_dict().items()}
    import_state_dict(net, written(tmp_path / 's.pth', state), written(tmp_path / 'map', 'l rnn'))
    want = lstm(torch.from_numpy(net.blobs['x'].data))[0].detach().numpy()
    assert np.allclose(net.forward()['y'], want, atol=1e-5)


@pytest.mark.parametrize(
    'text, message',
    [
        (MAP.replace('fc 5', ''), 'no line for fc'),
        (MAP.replace('fc 5', 'fc'), ':7:'),
        (MAP + 'fd 5', "no layer 'fd'"),
        (MAP.replace('fc 5', 'fc 9'), "no '9.weight'"),
        (MAP.replace('up 3', 'up 0'), 'shape'),
        (MAP.replace('prelu[0]', 'prelu[1]'), 'no number 1'),
        (MAP + 'relu 1', "no layer 'relu'"),
    ],
)
def test_maps_that_do_not_fit_are_refused_and_change_nothing(text, message, module, tmp_path):
    net = make_net(NET, SHAPES)
    before = [blob.data.copy() for blobs in net.params.values() for blob in blobs]
    state = written(tmp_path / 's.pth', module.state_dict())
    with pytest.raises(caffe.CaffeError, match=message.replace('[', r'\[')):
        import_state_dict(net, state, written(tmp_path / 'map', text))
    after = [blob.data for blobs in net.params.values() for blob in blobs]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


class Evil:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


def test_a_state_dict_executes_nothing(tmp_path):
    net, victim = make_net(NET, SHAPES), tmp_path / 'victim'
    state = written(tmp_path / 's.pth', {'a': Evil(str(victim)), 'b': torch.zeros(1)})
    with pytest.raises(caffe.CaffeError, match='read safely'):
        import_state_dict(net, state, written(tmp_path / 'map', MAP))
    assert not victim.exists()


@pytest.mark.parametrize('content', [b'', b'garbage', b'PK\x03\x04 cut'])
def test_files_that_are_no_state_dict(content, tmp_path):
    (tmp_path / 's.pth').write_bytes(content)
    with pytest.raises(caffe.CaffeError, match='s.pth'):
        import_state_dict(make_net(NET, SHAPES), str(tmp_path / 's.pth'), written(tmp_path / 'map', MAP))


def test_the_command_writes_a_caffemodel(module, tmp_path):
    inputs = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }'
    model = written(tmp_path / 'net.prototxt', inputs + NET)
    out = str(tmp_path / 'net.caffemodel')
    assert (
        main(
            [
                'import-torch',
                '-torch',
                written(tmp_path / 's.pth', module.state_dict()),
                '-map',
                written(tmp_path / 'map', MAP.replace('fc 5', 'fc -')),
                '-model',
                model,
                f'-out={out}',
            ]
        )
        == 0
    )
    net = caffe.Net(model, out, caffe.TEST)
    assert np.allclose(net.params['conv'][0].data, module[0].weight.detach().numpy())
    assert not net.params['fc'][0].data.any()
