"""Settings files: what is missing, unknown or of another kind is told in one line, before anything starts."""

import json

import pytest
from sphereslim.errors import SlimError
from sphereslim.net.prototxt import caffe_pb2
from sphereslim.settings import KINDS, checked
from sphereslim.training.schedule import Schedule, solver_for
from tiny_run import ROOT, write_run

TRAINING = {'iterations': 3, 'base_lr': 0.1, 'batch': 4}


@pytest.mark.parametrize(
    'kind, good, bad',
    [
        ('count', [1, 8], [0, -1, 1.5, True, '3', None]),
        ('whole', [0, 3], [-1, 0.5, False]),
        ('number', [-1, 0.5], [True, '1', float('nan')]),
        ('positive', [0.1, 2], [0, -3, float('inf')]),
        ('switch', [True, False], [0, 'true']),
        ('text', ['a'], ['', 3, None]),
        ('wholes', [[], [1]], [[1, 'a'], 1]),
        ('numbers', [[0.5]], ['0.5', [None]]),
        ('texts', [['a']], ['a', [1]]),
        ('settings', [{}], [[], None, 'a']),
    ],
)
def test_kinds_of_values(kind, good, bad):
    assert [checked({'it': value}, {'it': kind}, 'here') for value in good] == [{'it': value} for value in good]
    for value in bad:
        with pytest.raises(SlimError, match='^here: it is .*, expected '):
            checked({'it': value}, {'it': kind}, 'here')


def test_every_kind_is_tried_above():
    tried = {case[0] for case in test_kinds_of_values.pytestmark[0].args[1]}
    assert tried == set(KINDS)


@pytest.mark.parametrize('values', [[1, 'a'], 3, None, 'text'])
def test_a_file_of_something_else(values):
    with pytest.raises(SlimError, match='^here: .* is not settings by name, expected {"rate": …}$'):
        checked(values, {'rate?': 'number'}, 'here')


@pytest.mark.parametrize(
    'change, message',
    [
        ({'iterations': 0}, 'iterations is 0, expected a whole number of at least 1'),
        ({'steps': ['a']}, 'steps is'),
        ({'base_lr': '0.1'}, 'base_lr is "0.1", expected a number above 0'),
        ({'extra': ['Adam']}, 'extra is'),
    ],
)
def test_schedules(change, message):
    with pytest.raises(SlimError, match=f'^base: {message}'):
        Schedule.from_dict(TRAINING | change, 'base')


@pytest.mark.parametrize('extra', [{'typ': 'Adam'}, {'type': 5}, {'momentum': 'much'}, {'test_iter': [1]}])
def test_extras_that_no_solver_has(extra):
    with pytest.raises(SlimError, match=f'^extra: {next(iter(extra))} .* is no setting of a solver$'):
        solver_for(caffe_pb2.SolverParameter(), Schedule(1, 0.1, 1, extra=extra), 'net', 'prefix', 1)


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('settings')
    write_run(folder)
    for name, values in (('list', [1]), ('nothing', None), ('other', {'a': 1})):
        (folder / f'{name}.json').write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize('name', ['list', 'nothing', 'other'])
@pytest.mark.parametrize(
    'command, more',
    [
        ('prune_pipeline', ''),
        ('sphereface_plus', ''),
        ('sphereface_prune', ''),
        ('entropy', ''),
        ('flame', '--pictures faces/aligned --lists faces'),
    ],
)
def test_pipelines_name_the_file_and_make_nothing(work, run, command, more, name):
    faces = '' if more else '--faces faces'
    with pytest.raises(SystemExit, match=f'^error: {name}.json: '):
        run(command, f'--settings {name}.json {faces} {more} --out out')
    assert not (work / 'out').exists()


@pytest.mark.parametrize('path', sorted((ROOT / 'python' / 'settings').glob('*.*.json')), ids=lambda path: path.stem)
def test_the_projects_own_settings_are_accepted(path, work, run):
    name = path.name.split('.')[0]
    command = 'prune_pipeline' if name == 'sphereface-4' else name.replace('-', '_')
    faces = '--pictures nofaces --lists faces' if command == 'flame' else '--faces nofaces'
    with pytest.raises(SystemExit, match='^error: nofaces'):
        run(command, f'--settings {path} {faces} --out out')
