"""The flags of glog among those of the commands."""

import os

import pytest

from caffe import log
from caffe.cli.flags import Spec, run
from caffe.process_state import state
from training_run import caffe_command, write_run


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a command line changes is put back at the end."""
    monkeypatch.setenv('GLOG_minloglevel', '0')
    monkeypatch.setenv('GLOG_log_dir', '')
    for name, value in [*vars(state.log).items()]:
        monkeypatch.setattr(state.log, name, value)
    log.init_log(0)


def tool(line):
    """(exit status, positionals) of a command that logs 'told'."""
    seen = []

    def action(flags, positionals):
        seen.extend(positionals)
        log.info('tool', 'told')

    return run(Spec('tool', 'Logs.', (), (('WORDS*', 'words'),)), action, line.split()), seen


def test_the_log_of_a_training_goes_into_a_folder_too(tmp_path):
    write_run(tmp_path)
    (tmp_path / 'logs').mkdir()
    done = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '--log_dir', 'logs', '-alsologtostderr')
    (file,) = tmp_path.glob('logs/caffe.*.log.INFO.*')
    assert (tmp_path / 'logs' / 'caffe.INFO').resolve() == file
    header, lines = file.read_text().splitlines()[:2], file.read_text().splitlines()[2:]
    assert header[0].startswith('Log file created at: ')
    assert lines == done.stderr.splitlines() and 'Optimization Done.' in lines[-1]


def test_flags_of_glog_are_no_words_of_the_command(capsys):
    line = 'a -logtostderr=1 --nologtostderr -v=2 --stderrthreshold 0 --minloglevel=1 b'
    assert tool(line) == (0, ['a', 'b'])
    assert 'told' not in capsys.readouterr().err
    assert os.environ['GLOG_minloglevel'] == '1'


@pytest.mark.parametrize(
    'line, message',
    [('-log_dir=nowhere', '-log_dir nowhere: no such folder'), ('-minloglevel=x', "-minloglevel 'x': expected 0")],
)
def test_what_cannot_take_effect_is_told(line, message, capsys):
    assert tool(line) == (1, [])
    assert capsys.readouterr().err.startswith(f'tool: {message}')


def test_a_log_that_cannot_be_written_to_its_folder_goes_on(tmp_path, capsys):
    log.also_to(str(tmp_path / 'gone'), 'tool')
    log.info('tool', 'one')
    log.info('tool', 'two')
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition('] ')[2][:3] for line in lines] == ['one', str(tmp_path)[:3], 'two']
