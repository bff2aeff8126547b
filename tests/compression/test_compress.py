"""One command makes a net smaller: what it leaves, how it goes on, and what it refuses."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import sphereslim as slim
from masking import randomize
from sphereslim.channels.groups import Groups
from sphereslim.commands.program import find_command
from sphereslim.compression.budgets import Budget, Budgets
from sphereslim.compression.files import export_onnx
from sphereslim.errors import SlimError
from sphereslim.evaluation.verification import evaluate
from sphereslim.net.opened import open_net, weights_of
from sphereslim.pruning.model import cost
from sphereslim.pruning.selection import read_selections
from sphereslim.quantization import dequantize, read_quantized
from tiny_run import write_run

NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 28 dim: 24 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 16 kernel_size: 3 stride: 2 pad: 1 bias_term: false } }
layer { name: "norm1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "relu1" type: "PReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 16 kernel_size: 3 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc" inner_product_param { num_output: 8 } }
"""
FEW = ('--count', '6', '--judge-count', '6', '--test-count', '4', '--crop', 'resize')
PAIRS = ('--pairs', 'faces/pairs.txt', '--pictures', 'faces/aligned')


def times(deploys, **_):
    """Times that follow from the MACs."""
    return [{'forward': cost(slim.read_net(deploy))[0] / 1e5} for deploy in deploys]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A small net with weights, and generated faces, in the current directory; wide steps and no other process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sphereslim.compression.channels.STRIDE', 0.1)
    monkeypatch.setattr('sphereslim.compression.measured.caffe_times', times)
    monkeypatch.setattr('sphereslim.compression.run.export_onnx', lambda *_: 'not tried')
    write_run(tmp_path)
    Path('net.prototxt').write_text(NET)
    net = open_net(slim.read_net('net.prototxt'))
    randomize(net, np.random.default_rng(0))
    slim.write_weights('net.caffemodel', weights_of(net))
    return tmp_path


def compress(*words, out='slim'):
    find_command('compress').run(
        ['net.prototxt', 'net.caffemodel', '--images', 'faces/aligned', '--out', out, *FEW, *map(str, words)]
    )


def rows(out='slim'):
    return {row['name']: row for row in json.loads(Path(out, 'report.json').read_text())['rows']}


def test_a_budget_leaves_every_file_of_a_smaller_net_and_the_loss_on_every_list(work, monkeypatch, capsys):
    monkeypatch.setattr('sphereslim.compression.run.export_onnx', export_onnx)
    compress('--macs', '60%', *PAIRS)
    found = rows()
    original, result = found['original'], found['in fewer bits']
    assert result['macs'] <= 0.6 * original['macs'] and result['bytes'] < 0.3 * original['bytes']
    net = slim.read_net('slim/result/deploy.prototxt')
    assert cost(net)[0] == result['macs'] and 'norm1' not in [layer.name for layer in net.layer]
    unpacked = dequantize(read_quantized('slim/result/weights.qcaffemodel'))
    assert unpacked.SerializeToString() == Path('slim/result/dequantized.caffemodel').read_bytes()
    ours = evaluate(
        'slim/result/deploy.prototxt',
        'slim/result/dequantized.caffemodel',
        'faces/pairs.txt',
        'faces/aligned',
        form=slim.InputForm(crop='resize'),
    )
    assert result['accuracies']['pairs']['right'] == ours.right
    assert Path('slim/result/net.onnx').stat().st_size > 1000
    page = Path('slim/report.html').read_text()
    assert all(words in page for words in ('Beside the original', 'What was tried', 'Channels', 'Bits', 'lost'))
    spent = json.loads(Path('slim/report.json').read_text())['cpu_seconds']
    assert min(spent.values()) > 0 and {'refitting on more pictures', 'fewer bits', 'measuring'} <= set(spent)
    told = capsys.readouterr().out
    assert re.findall(r'\[\d/\d\]', told) == ['[1/5]', '[2/5]', '[3/5]', '[4/5]', '[5/5]']
    commands = Path('slim/commands.sh').read_text()
    assert 'sphereslim compress net.prototxt net.caffemodel' in commands and 'evaluate-lfw' in commands


def test_a_run_that_stopped_goes_on_and_gives_the_same(work, monkeypatch, capsys):
    compress('--macs', '70%')
    first = {path.name: path.read_bytes() for path in Path('slim/result').iterdir()}

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr('sphereslim.compression.run.quantized', stop)
        with pytest.raises(KeyboardInterrupt):
            compress('--macs', '70%', out='again')
    assert not Path('again/report.html').exists()
    assert 'interrupted; the same command continues' in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr('sphereslim.pruning.shrink_to_budget.Shrinking._smaller', stop)
        compress('--macs', '70%', out='again')
    assert {path.name: path.read_bytes() for path in Path('again/result').iterdir()} == first


def by_hand():
    """Run the commands of commands.sh after the first; their names."""
    lines = Path('slim/commands.sh').read_text().splitlines()
    ran = [line.split() for line in lines if line.startswith('sphereslim') and ' compress ' not in line]
    for words in ran:
        find_command(words[1]).run(words[2:])
    return [' '.join(words[1:3]) if words[1] == 'quantize' else words[1] for words in ran]


def test_every_step_by_hand_gives_the_same_files(work):
    compress('--macs', '80%', '--bytes', '3000', '--seed', 3, *PAIRS)
    names = ['fold', 'shrink', 'quantize allocate', 'quantize quantize', 'quantize inspect', 'evaluate-lfw']
    assert by_hand() == names
    result, hand = Path('slim/result'), Path('slim/by-hand')
    for name in ('deploy.prototxt', 'weights.caffemodel'):
        assert (hand / 'channels' / name).read_bytes() == (result / name).read_bytes()
    assert (hand / 'weights.qcaffemodel').read_bytes() == (result / 'weights.qcaffemodel').read_bytes()
    assert (hand / 'allocated.qcaffemodel').stat().st_size <= 3000
    kept = read_selections([hand / 'channels/selection.json'])
    groups = Groups(slim.read_net(result / 'deploy.prototxt'))
    assert kept and all(groups.of(name).size == len(own) for name, own in kept.items())


@pytest.mark.parametrize('budgets', [('--macs', '80%', '--parameters', '75%'), ('--milliseconds', '75%')])
def test_channels_are_chosen_again_by_hand_whatever_the_budgets_were(work, budgets):
    compress(*budgets, '--multiple', 2)
    assert 'shrink' in by_hand()
    assert Path('slim/by-hand/channels/weights.caffemodel').read_bytes() == (
        Path('slim/result/weights.caffemodel').read_bytes()
    )


def test_without_a_budget_there_is_a_curve_of_trade_offs(work):
    compress(*PAIRS)
    found = list(rows().values())
    shares = [row['macs'] / found[0]['macs'] for row in found]
    assert [row['name'] for row in found[1:3]] == ['90 % of the MACs', '80 % of the MACs'] or shares[1] <= 0.9
    assert shares == sorted(shares, reverse=True) and len(shares) == 7 and shares[-1] <= 0.4
    assert found[-1]['loss'] > found[1]['loss'] > 0 and all('pairs' in row['accuracies'] for row in found)
    steps = len(list(Path('slim/channels/macs').glob('*/deploy.prototxt')))
    compress('--macs', '50%')
    assert len(list(Path('slim/channels/macs').glob('*/deploy.prototxt'))) == steps + 1  # the refined one


def test_a_size_alone_takes_bits_and_leaves_the_channels(work):
    compress('--bytes', '11000')
    result = rows()['in fewer bits']
    assert Path('slim/result/weights.qcaffemodel').stat().st_size == result['bytes'] <= 11000
    assert Groups(slim.read_net('slim/result/deploy.prototxt')).of('conv1').size == 16


def test_a_finished_run_takes_its_bits_from_where_they_are(work, monkeypatch):
    compress('--bytes', '11000')
    before = Path('slim/result/weights.qcaffemodel').read_bytes()
    monkeypatch.setattr('sphereslim.compression.run.quantized_to', lambda *_: pytest.fail('rounded again'))
    compress('--bytes', '11000')
    assert Path('slim/result/weights.qcaffemodel').read_bytes() == before


def test_multiples_and_parameters(work):
    compress('--parameters', '70%', '--macs', '80%', '--multiple', '4')
    original, result = rows()['original'], rows()['in fewer bits']
    assert result['parameters'] <= 0.7 * original['parameters'] and result['macs'] <= 0.8 * original['macs']
    groups = Groups(slim.read_net('slim/result/deploy.prototxt'))
    assert all(groups.of(name).size % 4 == 0 for name in ('conv1', 'conv2'))


def test_an_accuracy_is_kept_as_long_as_channels_leave(work, monkeypatch):
    accuracies = {1.0: 90.0}

    def accuracy(self, files, figures):
        share = cost(slim.read_net(files[0]))[0] / cost(slim.read_net('net.prototxt'))[0]
        return accuracies.setdefault(share, 60 + 30 * share)

    monkeypatch.setattr('sphereslim.compression.run.Compression._first_accuracy', accuracy)
    compress('--keep-accuracy', 80, *PAIRS)
    share = rows()['in fewer bits']['macs'] / rows()['original']['macs']
    assert 60 + 30 * share >= 80 and share < 0.85  # the first step is at 0.9
    with pytest.raises(SlimError, match='budgets are not reached with an accuracy of 80 %'):
        compress('--keep-accuracy', 80, '--macs', '40%', *PAIRS)
    with pytest.raises(SlimError, match='net.caffemodel: its accuracy is 90.00 % before anything leaves'):
        compress('--keep-accuracy', 99, *PAIRS)


def accuracy_of_files(monkeypatch, accuracy):
    """Let the accuracy of a net be `accuracy`(share of the MACs, whether it is in fewer bits)."""

    def found(self, files, figures):
        share = cost(slim.read_net(files[0]))[0] / cost(slim.read_net('net.prototxt'))[0]
        return accuracy(share, files[1].name == 'dequantized.caffemodel')

    monkeypatch.setattr('sphereslim.compression.run.Compression._first_accuracy', found)


def test_bits_are_added_until_the_accuracy_is_kept_in_the_file(work, monkeypatch, capsys):
    def accuracy(share, in_bits):
        few = in_bits and max(json.loads(Path('slim/result/bits.json').read_text()).values()) < 8
        return 79.5 if few else 60 + 30 * share

    accuracy_of_files(monkeypatch, accuracy)
    compress('--keep-accuracy', 80, *PAIRS)
    assert set(json.loads(Path('slim/result/bits.json').read_text()).values()) == {8}
    told = capsys.readouterr().out
    assert 'in 6 bits: 79.50 %, less than 80 %' in told and 'in 7 bits: 79.50 %' in told and 'in 8 bits' not in told


def test_channels_come_back_where_no_bits_keep_the_accuracy(work, monkeypatch):
    monkeypatch.setattr('sphereslim.compression.run.BITS', (6,))
    accuracy_of_files(monkeypatch, lambda share, in_bits: 60 + 30 * share - 4 * in_bits)
    compress('--keep-accuracy', 80, *PAIRS)
    share = rows()['in fewer bits']['macs'] / rows()['original']['macs']
    assert 56 + 30 * share >= 80 and share < 0.95
    with pytest.raises(SlimError, match=r'no file of fewer bits keeps an accuracy of 80 %, the last one has'):
        compress('--keep-accuracy', 80, '--macs', '80%', *PAIRS)


def test_a_time_is_measured_step_by_step(work):
    compress('--milliseconds', '75%')
    before, after = (rows()[name]['milliseconds'] for name in ('original', 'in fewer bits'))
    assert 0.55 * before < after <= 0.75 * before
    with pytest.raises(SlimError, match='still takes too long'):
        compress('--milliseconds', '0.001')


def test_the_result_can_be_distilled(work, monkeypatch):
    monkeypatch.setattr('sphereslim.pruning.distillation.cpu_seconds', lambda *_: 0.54)
    compress('--macs', '60%', '--train-minutes', '0.1')
    assert 'distilled' in rows() and rows()['distilled']['loss'] != rows()['fewer channels, refitted']['loss']
    assert 'distill --extract' in Path('slim/commands.sh').read_text()


def test_from_python(work):
    found = slim.compress(
        'net.prototxt', 'net.caffemodel', 'faces/aligned', 'slim', macs=0.7, form=slim.InputForm(crop='resize')
    )
    assert found['rows'][-1]['macs'] <= 0.7 * found['rows'][0]['macs'] and Path(found['report']).is_file()


@pytest.mark.parametrize(
    'words, told',
    [
        (('--macs', '1%'), 'macs: no choice of channels of net .small. costs as little, expected at least'),
        (('--bytes', '1000'), 'no choice of channels|smallest widths take'),
        (('--macs', '900M'), 'budget 900M: there are only'),
        (('--keep-accuracy', '90'), 'expected --pairs and --pictures'),
        (('--train-minutes', '1'), 'expected a budget beside the minutes'),
        (('--macs', '50%', '--not-in', 'no.txt'), 'no.txt: cannot be read'),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(work, words, told):
    with pytest.raises(SlimError, match=told) as error:
        compress(*words)
    assert '\n' not in str(error.value)


def test_a_broken_picture_is_told_by_name(work):
    for path in Path('faces/aligned').rglob('*.jpg'):
        path.write_bytes(b'not a picture')
    with pytest.raises(SlimError, match=r'faces/aligned/P_\d+/P_\d+_000\d.jpg: is broken or no picture'):
        compress('--macs', '50%')


def test_a_net_without_a_group_that_can_be_pruned_is_told_by_name(work):
    one = NET.split('layer { name: "conv2"')[0].replace('name: "small"', 'name: "one"')
    Path('net.prototxt').write_text(one)
    slim.write_weights('net.caffemodel', weights_of(open_net(slim.read_net('net.prototxt'))))
    with pytest.raises(SlimError, match="net 'one': no group of channels can be pruned"):
        compress('--macs', '50%')


def test_a_folder_of_another_net_is_refused(work):
    compress('--macs', '80%')
    other = slim.read_weights('net.caffemodel')
    other.layer[1].blobs[0].data[0] += 1
    slim.write_weights('net.caffemodel', other)
    with pytest.raises(SlimError, match='results.json: holds results of another subject .weights'):
        compress('--macs', '80%')


def test_bytes_ask_for_fewer_parameters_only_where_bits_would_be_too_few(work):
    net = slim.read_net('net.prototxt')
    parameters = cost(net)[1]
    size = 4 * parameters
    assert Budgets(bytes=Budget('', None, 0.6 * parameters)).counted(net, size) == {}
    assert Budgets(bytes=Budget('', None, 0.4 * parameters)).counted(net, size) == {'parameters': 0.8 * parameters}
