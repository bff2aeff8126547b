"""Command lines in the manner of gflags."""

import pytest

from caffe.cli.flags import Flag, Spec, parse, run
from caffe.errors import CaffeError

SPEC = Spec(
    'tool',
    'Does things.',
    (
        Flag('gray', False, 'grey pictures'),
        Flag('shuffle', True, 'mix'),
        Flag('width', 0, 'pixels'),
        Flag('gpu', '', 'devices'),
        Flag('rankdir', 'LR', 'direction'),
    ),
    (('ROOT', 'folder'), ('LIST?', 'list')),
)


@pytest.mark.parametrize(
    'line',
    [
        '--gray r --width=3 --gpu 0,1',
        'r -gray -width 3 -gpu=0,1',
        '-gray=true -width=3 --gpu=0,1 r',
        '--gray=1 r -width=3 -gpu 0,1',
    ],
)
def test_dashes_equals_and_spaces_mean_the_same(line):
    values, positionals = parse(line.split(), SPEC)
    assert (values.gray, values.shuffle, values.width, values.gpu) == (True, True, 3, '0,1')
    assert positionals == ['r', '']


@pytest.mark.parametrize('word', ['--noshuffle', '-noshuffle', '--shuffle=false', '-shuffle=0', '--shuffle=No'])
def test_switches_turn_off(word):
    assert parse([word, 'r', 'l'], SPEC)[0].shuffle is False


def test_negative_numbers_are_values():
    assert parse(['-width', '-3', 'r'], SPEC)[0].width == -3


@pytest.mark.parametrize(
    'argv',
    [['--wdth=3', 'r'], ['-gr', 'r'], ['--width=x', 'r'], [], ['a', 'b', 'c'], ['--gray=maybe', 'r'], ['r', '-width']],
)
def test_errors_are_one_line_and_status_1(argv, capsys):
    with pytest.raises(CaffeError):
        parse(argv, SPEC)
    assert run(SPEC, lambda values, positionals: 0, argv) == 1
    error = capsys.readouterr().err
    assert error.startswith('tool: ') and error.count('\n') == 1


@pytest.mark.parametrize('word', ['--help', '-help', '-h'])
def test_help_names_every_flag_and_exits_0(word, capsys):
    with pytest.raises(SystemExit) as stop:
        parse([word], SPEC)
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(part in text for part in ('Does things.', '--gray', '--width', 'pixels', 'ROOT', 'LIST'))
    assert all(f'(default: {default})' in text for default in ('false', 'true', '0', 'LR'))


def test_rest_of_the_line():
    spec = Spec('tool', 'x', (Flag('a', 1, 'a'),), (('FIRST', 'f'), ('MORE*', 'm')))
    assert parse(['x', 'y', '-a', '2', 'z'], spec)[1] == ['x', 'y', 'z']
    assert parse(['x'], spec)[1] == ['x']
