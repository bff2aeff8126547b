"""The commands of single pruning steps: from a net to a pruned one that trains on, and one line for what cannot be."""

import json

import numpy as np
import pytest
from masking import randomize
from sphereslim.criteria import CRITERIA
from sphereslim.criteria.criterion import Criterion
from sphereslim.data.feed import feed_for
from sphereslim.data.pictures import list_images
from sphereslim.files import write_bytes
from sphereslim.net.costs import one_picture
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import read_net, read_solver, write_prototxt
from sphereslim.net.weights import read_weights, weight_layers
from sphereslim.pruning.allocation import allocate_channels, curves
from sphereslim.pruning.model import cost, evidence, open_model
from sphereslim.pruning.selection import read_selections
from sphereslim.pruning.sensitivity import read_table
from tiny_run import write_run

NET = 'net/deploy.prototxt'
PICTURES = '--images faces/aligned --count 4 --batch 4'


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('work')
    write_run(folder)
    for name, phase in (('tiny', 'deploy'), ('other', 'deploy')):
        net = open_net(read_net(folder / 'net' / f'{phase}.prototxt'))
        randomize(net, np.random.default_rng(0))
        weights = weights_of(net)
        for layer in weights.layer if name == 'other' else ():
            layer.name = f'x_{layer.name}'
        write_bytes(folder / f'{name}.caffemodel', weights.SerializeToString())
    for name, value in (('nan', np.nan), ('huge', 1e38)):
        net.params['conv1'][0].data[...] = value
        net.save(str(folder / f'{name}.caffemodel'))
    return folder


def measured(deploy):
    """The parameters of a net as the reports count them."""
    return one_picture(read_net(deploy)).parameters


def test_select_and_prune_give_a_folder_that_finetune_trains(work, run, quick_caffe):
    run('select_filters', f'{NET} tiny.caffemodel --layers conv1,conv2 --rate 0.5 {PICTURES} --out both.json')
    assert {name: len(kept) for name, kept in read_selections(['both.json']).items()} == {'conv1': 4, 'conv2': 6}
    said = run(
        'prune',
        'both.json --train net/train.prototxt --deploy net/deploy.prototxt --weights tiny.caffemodel '
        '--solver net/solver.prototxt --out cut',
    )
    before, after = (measured(path) for path in (NET, 'cut/deploy.prototxt'))
    assert f'cut: {before:,} parameters became {after:,} (' in said and 'without classifier and statistics' in said
    assert open_model('cut/deploy.prototxt', 'cut/init.caffemodel').groups.of('conv2').size == 6
    run('finetune', 'cut')
    assert open_model('cut/deploy.prototxt', 'cut/final.caffemodel')
    assert (work / 'cut' / 'train.log').read_text().count('Iteration') > 2


def test_a_train_net_reads_its_own_pictures(work, run):
    run('select_filters', 'net/train.prototxt tiny.caffemodel --layers conv1 --criterion l1 --batches 1 --out one.json')
    assert json.loads((work / 'one.json').read_text())['layer'] == 'conv1'


@pytest.mark.parametrize('criterion', ['l1', 'l2', 'fpgm', 'random'])
def test_criteria_of_the_weights_alone_need_no_pictures(criterion, work, run):
    run('select_filters', f'{NET} tiny.caffemodel --layers conv1 --criterion {criterion} --out alone.json')
    alone = json.loads((work / 'alone.json').read_text())
    run('select_filters', f'{NET} tiny.caffemodel --layers conv1 --criterion {criterion} {PICTURES} --out with.json')
    assert alone == json.loads((work / 'with.json').read_text())


def test_a_criterion_of_ones_own_that_needs_gradients_gets_them(work, run, monkeypatch):
    def measure(context):
        stops = [stop for stop, _ in context.stops()]
        return sum(abs(diffs[0]).sum(axis=(0, 2, 3)) for _, diffs in context.sampler.gradients(stops))

    monkeypatch.setitem(CRITERIA, 'slope', Criterion('slope', 'a test', measure, needs_gradients=True))
    run('select_filters', f'{NET} tiny.caffemodel --layers conv1 --criterion slope {PICTURES} --out slope.json')
    assert min(json.loads((work / 'slope.json').read_text())['scores']) > 0
    model = open_model(NET, 'tiny.caffemodel')
    feed = feed_for(model.net, list_images('faces/aligned', 4))
    assert min(evidence(model, ['conv1'], 'slope', feed)['conv1']) > 0


@pytest.mark.parametrize('form', ['double', 'old layers'])
def test_weights_of_other_forms_are_pruned_and_counted(form, work, run):
    held, name = read_weights(work / 'tiny.caffemodel'), form.replace(' ', '_')
    found = copy_of(held)
    if form == 'old layers':
        del found.layer[:]
        for layer in weight_layers(held).values():
            found.layers.add(name=layer.name, blobs=layer.blobs)
    for blob in (blob for layer in found.layer for blob in layer.blobs):
        blob.double_data[:] = blob.data
        del blob.data[:]
    write_bytes(work / f'{name}.caffemodel', found.SerializeToString())
    (work / 'two.json').write_text('{"layer": "conv1", "kept": [0, 1]}')
    said = run('prune', f'two.json --deploy {NET} --weights {name}.caffemodel --out two_{name}')
    before, after = (measured(path) for path in (NET, f'two_{name}/deploy.prototxt'))
    assert f'{before:,} parameters became {after:,}' in said and after < before


@pytest.mark.parametrize('form', ['train_net', 'train_net_param', 'net_param', 'test_net'])
def test_a_solver_trains_the_pruned_net_however_it_names_its_own(form, work, run, quick_caffe):
    (work / 'two.json').write_text('{"layer": "conv1", "kept": [0, 1]}')
    solver = read_solver(work / 'net' / 'solver.prototxt')
    path = solver.net
    if form == 'test_net':
        solver.test_net[:], solver.test_iter[:], solver.test_interval = [path], [1], 1
    else:
        solver.ClearField('net')
        setattr(solver, form, path) if form == 'train_net' else getattr(solver, form).CopyFrom(read_net(path))
    write_prototxt(work / f'{form}.prototxt', solver)
    said = run(
        'prune',
        f'two.json --train net/train.prototxt --weights tiny.caffemodel --solver {form}.prototxt --out by_{form}',
    )
    assert ('its test nets are not pruned along' in said) == (form == 'test_net')
    run('finetune', f'by_{form}')
    assert (work / f'by_{form}' / 'final.caffemodel').is_file()


def test_reconstruct_brings_outputs_nearer(work, run):
    run('select_filters', f'{NET} tiny.caffemodel --layers conv2 --rate 0.5 {PICTURES} --out r.json')
    run('prune', f'r.json --deploy {NET} --weights tiny.caffemodel --out r')
    run(
        'reconstruct',
        f'{NET} tiny.caffemodel r/deploy.prototxt r/init.caffemodel --selection r.json '
        '--images faces/aligned --count 32 --ridge 1e-3 --out r/refitted.caffemodel',
    )
    picture = np.random.default_rng(1).normal(0, 0.5, (1, 3, 112, 96)).astype('f')
    whole, cut, refitted = (
        output(net, weights, picture)
        for net, weights in (
            (NET, 'tiny.caffemodel'),
            ('r/deploy.prototxt', 'r/init.caffemodel'),
            ('r/deploy.prototxt', 'r/refitted.caffemodel'),
        )
    )
    assert np.linalg.norm(refitted - whole) < np.linalg.norm(cut - whole)


def output(deploy, weights, picture):
    model = open_model(deploy, weights)
    net = open_net(model.net, model.weights)
    net.blobs['data'].data[...] = picture
    return np.array(next(iter(net.forward().values())))


def test_sensitivity_resumes_and_allocate_meets_the_budget(work, run):
    words = f'{NET} tiny.caffemodel --out sens --rates 0.5,0.25 --test-count 4 {PICTURES}'
    run('sensitivity', words)
    table = work / 'sens' / 'sensitivity.json'
    rows, _ = read_table(table)
    known = json.loads(table.read_text())
    known['results'].popitem()
    table.write_text(json.dumps(known))
    run('sensitivity', words)
    assert read_table(table)[0] == rows
    run('allocate', f'{NET} tiny.caffemodel sens/sensitivity.json --budget 60% --out counts.json')
    model, counts = open_model(NET, 'tiny.caffemodel'), json.loads((work / 'counts.json').read_text())
    whole = cost(model.net)[0]
    run('select_filters', f'{NET} tiny.caffemodel --allocation counts.json --criterion l2 {PICTURES} --out a.json')
    run('prune', f'a.json --deploy {NET} --weights tiny.caffemodel --out allocated')
    left = cost(read_net('allocated/deploy.prototxt'))[0]
    assert 0.4 * whole < left <= 0.6 * whole
    finest = allocate_channels(model, curves(rows), left - 1)
    assert sum(finest.values()) < sum(counts.values())


@pytest.mark.parametrize(
    'command, words',
    [
        ('reconstruct', '--seed -1'),
        ('reconstruct', '--ridge -1'),
        ('reconstruct', '--ridge nan'),
        ('reconstruct', '--places 99999999999999999999'),
        ('distill', '--temperature 0'),
        ('distill', '--shape 9999999999'),
        ('distill', '--weight -1'),
        ('substitute', '--s-ratio nan'),
        ('quantize', '--count 0'),
    ],
)
def test_numbers_that_make_no_sense_are_refused(command, words, work, run, capsys):
    needed = {
        'reconstruct': f'{NET} w {NET} w --selection s --out c {PICTURES}',
        'distill': '--out d',
        'substitute': f'{NET} --out s',
        'quantize': f'sweep w --out f --deploy {NET}',
    }
    with pytest.raises(SystemExit) as end:
        run(command, f'{needed[command]} {words}')
    flag, number = words.split()
    assert end.value.code == 2 and f'argument {flag}: {number}, expected ' in capsys.readouterr().err


def test_outputs_go_into_folders_that_are_made(work, run):
    run('select_filters', f'{NET} tiny.caffemodel --layers conv1 {PICTURES} --out new/deep/s.json')
    assert read_selections(['new/deep/s.json']).keys() == {'conv1'}


def test_an_allocation_is_met_where_channels_leave_in_pairs(work, run):
    (work / 'odd.json').write_text('{"conv1": 5, "conv2": 11}')
    run(
        'select_filters', f'{NET} tiny.caffemodel --allocation odd.json --criterion greedy_pair --out o.json {PICTURES}'
    )
    assert {name: len(kept) for name, kept in read_selections(['o.json']).items()} == {'conv1': 5, 'conv2': 11}


def test_groups_tells_what_cannot_be_pruned_and_why(run):
    said = run('groups', NET)
    assert 'is an output of the net' in said and '2 of 3 groups can be pruned' in said


BAD = {
    'unknown layer': ('select_filters', f'{NET} tiny.caffemodel --layers nose {PICTURES}', "no layer 'nose'"),
    'the output': ('select_filters', f'{NET} tiny.caffemodel --layers fc5 {PICTURES}', 'cannot be pruned'),
    'rate 0': ('select_filters', f'{NET} tiny.caffemodel --layers conv1 --rate 0 {PICTURES}', 'rate 0'),
    'other weights': ('select_filters', f'{NET} other.caffemodel --layers conv1 {PICTURES}', 'none of the layers'),
    'no outputs': ('groups', 'zero.prototxt', "layer 'conv1' (Convolution): num_output is 0"),
    'too many outputs': ('groups', 'endless.prototxt', "layer 'conv1' (Convolution): num_output is 2000000000"),
    'a layer type that is none': (
        'recalibrate',
        f'typo.prototxt tiny.caffemodel --out c {PICTURES}',
        "error: net 'tiny': layer 'relu1': unknown type 'PReLUU'",
    ),
    'weights that are no numbers': (
        'select_filters',
        f'{NET} nan.caffemodel --layers conv1 {PICTURES}',
        "nan.caffemodel: weights of layer 'conv1' are not all numbers",
    ),
    'sums that are no numbers': (
        'select_filters',
        f'{NET} huge.caffemodel --layers conv1 --criterion greedy_pair {PICTURES}',
        'is not all numbers',
    ),
    'features that are no numbers': (
        'evaluate_lfw',
        f'{NET} nan.caffemodel --pairs faces/pairs.txt --pictures faces/aligned --no-cache',
        'nan.caffemodel: the features of',
    ),
    'refitting to no numbers': (
        'sensitivity',
        f'{NET} nan.caffemodel --out s --test-count 4 {PICTURES}',
        'nan.caffemodel: weights',
    ),
    'no criterion': ('select_filters', f'{NET} tiny.caffemodel --layers conv1 --criterion luck {PICTURES}', "'luck'"),
    'no pictures': ('select_filters', f'{NET} tiny.caffemodel --layers conv1', 'expected --images'),
    'missing prototxt': ('groups', 'none.prototxt', 'none.prototxt'),
    'empty prototxt': ('groups', 'empty.txt', 'empty.txt: holds no layers'),
    'empty solver': (
        'prune',
        f'good.json --train {NET} --weights tiny.caffemodel --solver empty.txt --out x',
        'empty.txt: says nothing, expected a solver',
    ),
    'a list of missing pictures': (
        'recalibrate',
        f'{NET} tiny.caffemodel --images faces/train.txt --out c.caffemodel',
        "faces/train.txt:1: 'P_0/P_0_0001.jpg 0': no such picture",
    ),
    'a list that is none': (
        'recalibrate',
        f'{NET} tiny.caffemodel --images tiny.caffemodel --out c.caffemodel',
        'tiny.caffemodel: is not text',
    ),
    'a folder to write': (
        'select_filters',
        f'{NET} none.caffemodel --layers conv1 {PICTURES} --out faces',
        'faces: is a folder',
    ),
    'a file for a folder': (
        'recalibrate',
        f'{NET} none.caffemodel --out empty.txt/c.caffemodel',
        'empty.txt/c.caffemodel: cannot be written',
    ),
    'no file to write': (
        'evaluate_lfw',
        f'{NET} none.caffemodel --pairs faces/pairs.txt --pictures faces/aligned --roc /proc/none/roc.png',
        '/proc/none/roc.png: cannot be written',
    ),
    'no selection': ('prune', f'settings.json --deploy {NET} --weights tiny.caffemodel --out x', 'is no selection'),
    'weights to prune': ('prune', f'good.json --deploy {NET} --weights other.caffemodel --out x', 'none of the layers'),
    'too many channels': ('prune', f'wrong.json --deploy {NET} --weights tiny.caffemodel --out x', 'from 0 to 7'),
    'no stage': ('finetune', 'faces', 'expected a stage folder'),
    'budget': ('allocate', f'{NET} tiny.caffemodel table.json --budget 1K --out c.json', 'there are only 10 macs'),
    'no pictures for it': ('recalibrate', f'{NET} tiny.caffemodel --out c.caffemodel', 'expected --images'),
    'not that net': (
        'reconstruct',
        f'{NET} tiny.caffemodel {NET} tiny.caffemodel --selection good.json --out c {PICTURES}',
        'expected the net that was pruned by it',
    ),
    'a net that was cut off': (
        'reconstruct',
        f'{NET} tiny.caffemodel short.prototxt tiny.caffemodel --selection good.json --out c {PICTURES}',
        "short.prototxt: has no layer 'fc5'",
    ),
    'no criterion for a run': (
        'prune_pipeline',
        '--settings settings.json --faces faces --out x --criterion luck',
        "'luck'",
    ),
    'no such net': ('sphereface_prune', '--faces faces --out runs --nets 5', '--nets 5'),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_requests_are_one_clear_line(case, work, run):
    (work / 'empty.txt').write_text('')
    (work / 'zero.prototxt').write_text((work / NET).read_text().replace('num_output: 8', 'num_output: 0'))
    (work / 'endless.prototxt').write_text((work / NET).read_text().replace('num_output: 8', 'num_output: 2000000000'))
    (work / 'typo.prototxt').write_text(
        (work / NET).read_text().replace('"relu1" type: "PReLU"', '"relu1" type: "PReLUU"')
    )
    (work / 'short.prototxt').write_text((work / NET).read_text().rpartition('layer {')[0])
    (work / 'good.json').write_text('{"layer": "conv1", "kept": [0, 1]}')
    (work / 'wrong.json').write_text('{"layer": "conv1", "kept": [0, 8]}')
    whole = {'group': '', 'rate': 1.0, 'size': 0, 'kept': 0, 'macs': 10, 'parameters': 10, 'loss': 0}
    (work / 'table.json').write_text(json.dumps({'subject': {}, 'results': {'': whole}}))
    command, words, expected = BAD[case]
    with pytest.raises(SystemExit) as end:
        run(command, words)
    line = str(end.value.code)
    assert line.startswith('error: ') and expected in line and '\n' not in line
    assert not (work / 'x').exists()
