"""Nets whose layers have rules: followed, pruned and run in the phases and stages in which they are whole."""

import json
from pathlib import Path

import numpy as np
import pytest
from masking import randomize
from sphereslim.channels.groups import Groups
from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.files import write_bytes
from sphereslim.net.messages import copy_of
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.phases import TEST, TRAIN, layers_in, phase_of, reads_own_data, states, with_net_stages
from sphereslim.net.prototxt import parse_net, read_net, write_prototxt
from tiny_run import write_run

TINY = 'tiny.caffemodel'


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A run whose net/all.prototxt is train and deploy net at once, as stage `deploy` says."""
    folder = tmp_path_factory.mktemp('work')
    write_run(folder)
    train, deploy = (read_net(folder / 'net' / f'{name}.prototxt') for name in ('train', 'deploy'))
    everything, only = type(train)(name='all', layer=[deploy.layer[0], *train.layer]), copy_of(train)
    everything.layer[0].include.add(stage=['deploy'])
    everything.layer[1].exclude.add(stage=['deploy'])
    for layer in everything.layer:
        if 'label' in layer.bottom:
            layer.include.add(phase=TRAIN, not_stage=['deploy'])
    only.layer[0].include.add(phase=TRAIN)
    for name, net in (('all', everything), ('only', only)):
        write_prototxt(folder / 'net' / f'{name}.prototxt', net)
    net = open_net(deploy)
    randomize(net, np.random.default_rng(0))
    write_bytes(folder / TINY, weights_of(net).SerializeToString())
    return folder


def test_a_net_is_followed_where_it_is_whole(work):
    net = read_net(work / 'net' / 'all.prototxt')
    assert states(net) == [(TRAIN, ()), (TEST, ()), (TRAIN, ('deploy',)), (TEST, ('deploy',))]
    assert states(with_net_stages(net, ['deploy'])) == [(TRAIN, ('deploy',)), (TEST, ('deploy',))]
    assert states(read_net(work / 'net' / 'only.prototxt')) == [(TRAIN, ())]
    assert states(read_net(work / 'net' / 'deploy.prototxt')) == [(TEST, ())]


def rule(text, stages=(), phase=TEST):
    net = parse_net(f'layer {{ name: "d" type: "Input" top: "d" {text} }}')
    return bool(layers_in(net, phase, stages))


@pytest.mark.parametrize('phase', [TRAIN, TEST])
@pytest.mark.parametrize('stages', [(), ('a',), ('b',), ('a', 'b')])
@pytest.mark.parametrize(
    'text',
    [
        '',
        'include { stage: "a" }',
        'include { not_stage: "a" }',
        'include { stage: "a" stage: "b" }',
        'include { stage: "a" not_stage: "b" }',
        'exclude { stage: "a" }',
        'exclude { phase: TRAIN stage: "b" }',
        'include { phase: TRAIN } include { stage: "b" }',
        'include { min_level: 1 }',
        'exclude { max_level: 0 }',
    ],
)
def test_rules_are_those_of_the_engine(text, stages, phase, tmp_path):
    path = tmp_path / 'net.prototxt'
    path.write_text(
        'layer { name: "always" type: "Input" top: "x" input_param { shape { dim: 1 } } }\n'
        f'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ dim: 1 }} }} {text} }}'
    )
    opened = caffe.Net(str(path), phase, stages=list(stages))
    assert ('d' in opened._layer_names) == rule(text, stages, phase)


def test_stages_that_no_rule_names_are_refused(work):
    with pytest.raises(SlimError, match="no stage 'deploi', expected some of: deploy"):
        with_net_stages(read_net(work / 'net' / 'all.prototxt'), ['deploi'])
    with pytest.raises(SlimError, match="no stage 'x', expected some of: none, as no rule names a stage"):
        with_net_stages(read_net(work / 'net' / 'deploy.prototxt'), ['x'])


def test_layers_of_other_stages_are_left_out(work):
    net = read_net(work / 'net' / 'all.prototxt')
    assert with_net_stages(net, ()) == net
    shown = with_net_stages(net, ['deploy'])
    assert [layer.type for layer in shown.layer if not layer.bottom] == ['Input'] and 'loss' not in str(shown)
    net.state.stage.append('deploy')
    assert with_net_stages(net, ()) == shown


def test_a_net_that_is_whole_nowhere_names_the_layer(work):
    net = read_net(work / 'net' / 'only.prototxt')
    net.layer[0].include[0].min_level = 1
    with pytest.raises(SlimError, match="layer 'conv1' reads blob 'data', which no layer before it makes"):
        Groups(net)


def test_which_data_a_net_reads_and_in_which_phase(work):
    net, only = (read_net(work / 'net' / f'{name}.prototxt') for name in ('all', 'only'))
    assert reads_own_data(net) and not reads_own_data(with_net_stages(net, ['deploy']))
    assert phase_of(only, TEST) == TRAIN and phase_of(net, TEST) == TEST and phase_of(net, TRAIN) == TRAIN


def test_a_net_with_stages_is_pruned_in_all_of_them(work, run):
    picture = '--images faces/aligned --count 4'
    run('select_filters', f'net/all.prototxt {TINY} --stage deploy --layers conv1 --criterion thinet {picture} --out s')
    run('select_filters', f'net/all.prototxt {TINY} --layers conv2 --batches 1 --criterion thinet --out t')
    run('prune', f's t --train net/all.prototxt --weights {TINY} --out cut')
    path = work / 'cut' / 'train.prototxt'
    assert not read_net(path).HasField('state')
    for phase, stages in states(read_net(path)):
        opened = caffe.Net(str(path), phase, stages=list(stages), weights=str(work / 'cut' / 'init.caffemodel'))
        assert [len(opened.params[name][0].data) for name in ('conv1', 'conv2')] == [4, 6]
        assert ('loss' in opened.blobs) == ((phase, stages) == (TRAIN, ()))
    run('recalibrate', f'net/all.prototxt {TINY} --stage deploy {picture} --out r.caffemodel')


PICTURES = '--images faces/aligned --count 4'
PAIRS = '--pairs faces/pairs.txt --pictures faces/aligned'
IN_STAGES = {  # command: its words but for --stage
    'model_stats': 'NET',
    'evaluate_lfw': f'NET {TINY} {PAIRS} --no-cache',
    'select_filters': f'NET {TINY} --layers conv1 {PICTURES} --out OUT/s.json',
    'prune': f'OUT/s.json --deploy NET --weights {TINY} --out OUT/cut',
    'reconstruct': f'NET {TINY} OUT/cut/deploy.prototxt OUT/cut/init.caffemodel --selection OUT/s.json {PICTURES} '
    '--out OUT/fit.caffemodel',
    'sensitivity': f'NET {TINY} {PICTURES} --test-count 4 --rates 0.5 --out OUT/harm',
    'allocate': f'NET {TINY} OUT/harm/sensitivity.json --budget 80% --out OUT/counts.json',
    'quantize sweep': f'{TINY} --out OUT/sweep --deploy NET {PICTURES} --bits 5',
    'quantize allocate': f'{TINY} --out OUT/q --deploy NET {PICTURES} --bits 4 --budget 20000',
}


def test_commands_give_in_a_stage_what_they_give_of_its_layers_alone(work, run):
    def results(net, out, stage=''):
        (work / out).mkdir()
        for command, words in IN_STAGES.items():
            command, _, words = f'{command} {words} {stage}'.partition(' ')
            yield run(command, words.replace('NET', net).replace('OUT', out)).replace(out, 'OUT').replace('all', 'tiny')
        yield (work / out / 'fit.caffemodel').read_bytes()

    assert list(results('net/deploy.prototxt', 'alone')) == list(results('net/all.prototxt', 'both', '--stage deploy'))


@pytest.mark.parametrize('command', ['study', *sorted(IN_STAGES.keys() - {'prune'})])
def test_a_stage_that_no_rule_names_is_told_by_every_command(work, run, command):
    words = IN_STAGES.get(command, f'NET {TINY} {PAIRS} {PICTURES} --out OUT/study').replace('OUT', 'none')
    command, _, words = f'{command} {words} --stage deploi'.partition(' ')
    with pytest.raises(SystemExit, match="no stage 'deploi', expected some of: deploy"):
        run(command, words.replace('NET', 'net/all.prototxt'))


def groups_of(run, flag):
    """{name: group} of the net as `sphereslim groups` writes them."""
    run('groups', f'net/all.prototxt --json groups.json {flag}')
    return {group['name']: group for group in json.loads(Path('groups.json').read_text())}


def test_groups_tells_those_of_a_stage(work, run):
    groups = {flag: groups_of(run, flag) for flag in ('', '--stage deploy')}
    assert groups[''].keys() == {'conv1', 'conv2', 'fc5', 'fc6'} and 'fc6' not in groups['--stage deploy']


def test_a_net_with_data_in_one_phase_is_measured_there(work, run):
    run('select_filters', f'net/only.prototxt {TINY} --layers conv1 --batches 1 --out one.json')
    run('recalibrate', f'net/only.prototxt {TINY} --batches 1 --out one.caffemodel')
    assert (work / 'one.caffemodel').is_file()
