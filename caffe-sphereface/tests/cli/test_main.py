"""The `caffe` command as users run it: mistakes end in one line and status 1, with nothing half written."""

import os
import re
import resource
import signal
import subprocess

import pytest
from repository import ROOT

import caffe
from caffe.cli.main import main
from training_run import COMMAND, ENVIRONMENT, NET, SOLVER, caffe_command, write_pictures, write_run

LONG = SOLVER.replace('max_iter: 6', 'max_iter: 1000000')


def assert_one_line(run, *parts):
    """Status 1, and behind the log exactly one line, which names `parts`."""
    assert run.returncode == 1, run.stderr
    *others, last = run.stderr.splitlines()
    assert last.startswith('caffe: ') and 'Traceback' not in run.stderr, run.stderr
    assert not [line for line in others if re.match(r'caffe: |.*(Error|Exception)', line)], run.stderr
    assert all(part in last for part in parts), last


def assert_nothing_half_written(folder):
    assert not [name for name in os.listdir(folder) if name.startswith('.')]


@pytest.mark.parametrize(
    'broken, parts',
    [
        (('net.prototxt', NET.replace('num_output: 8', 'num_outputs: 8')), ('net.prototxt:6', 'num_outputs')),
        (('net.prototxt', NET.replace('"ReLU"', '"RelU"')), ("'relu'", 'RelU')),
        (('net.prototxt', NET.replace('bottom: "ip1" top: "ip2"', 'bottom: "ip7" top: "ip2"')), ("'ip2'", "'ip7'")),
        (('files.txt', 'gone.h5\n'), ('gone.h5', "'data'")),
        (('rows.h5', 'no HDF5'), ('rows.h5', "'data'")),
        (('solver.prototxt', SOLVER.replace('base_lr', 'base_lrr')), ('solver.prototxt:2', 'base_lrr')),
        (('solver.prototxt', SOLVER.replace('"fixed"', '"sometimes"')), ('solver.prototxt', 'sometimes', 'multistep')),
        (('solver.prototxt', SOLVER.replace('"out"', '"gone/out"') + 'snapshot: 2'), ('gone', 'snapshot_prefix')),
        (('solver.prototxt', SOLVER.replace('"out"', '"gone/out"')), ('gone', 'snapshot_prefix')),
        (('solver.prototxt', SOLVER.replace('"out"', '"/proc/out"')), ('/proc', 'cannot be written')),
        (('solver.prototxt', ''), ('solver.prototxt: is empty',)),
        (('net.prototxt', ' \n'), ('net.prototxt: is empty',)),
        (('solver.prototxt', SOLVER.replace('net.prototxt', 'gone.prototxt')), ('gone.prototxt',)),
    ],
)
def test_mistakes_in_files(tmp_path, broken, parts):
    write_run(tmp_path)
    (tmp_path / broken[0]).write_text(broken[1])
    before = sorted(os.listdir(tmp_path))
    assert_one_line(caffe_command(tmp_path, 'train', '-solver=solver.prototxt'), *parts)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    'flags, parts',
    [
        (['-weights=gone.caffemodel'], ['gone.caffemodel']),
        (['-weights=cut.caffemodel'], ['cut.caffemodel', 'truncated']),
        (['-weights=other.caffemodel'], ["'ip1'", '(8, 5)', '(7, 5)']),
        (['-snapshot=cut.solverstate'], ['cut.solverstate']),
        (['-snapshot=out_iter_6.caffemodel'], ['out_iter_6.caffemodel']),
        (['-wieghts=x'], ['-wieghts']),
        (['-weights=a', '-snapshot=b'], ['exclude']),
        (['-gpu=zero'], ['zero']),
        (['-sigint_effect=dance'], ['dance']),
        (['-processes=0'], ['-processes is 0']),
    ],
)
def test_weights_states_and_flags_that_do_not_fit(tmp_path_factory, flags, parts):
    folder = tmp_path_factory.getbasetemp() / 'fitting'
    if not folder.exists():
        folder.mkdir()
        write_run(folder, NET.replace('num_output: 8', 'num_output: 7'))
        caffe_command(folder, 'train', '-solver=solver.prototxt')
        (folder / 'out_iter_6.caffemodel').rename(folder / 'other.caffemodel')
        write_run(folder)
        caffe_command(folder, 'train', '-solver=solver.prototxt')
        for name in ('caffemodel', 'solverstate'):
            whole = (folder / f'out_iter_6.{name}').read_bytes()
            (folder / f'cut.{name}').write_bytes(whole[: len(whole) // 2])
    assert_one_line(caffe_command(folder, 'train', '-solver=solver.prototxt', *flags), *parts)


@pytest.mark.parametrize('command', ['time', 'test'])
@pytest.mark.parametrize('number', [0, -1])
def test_running_no_iteration_is_refused(tmp_path, command, number):
    flags = [f'-iterations={number}', '-model=gone.prototxt', '-weights=gone.caffemodel']
    assert_one_line(caffe_command(tmp_path, command, *flags), f'-iterations is {number}, expected at least 1')


def test_a_picture_that_is_not_there_names_list_line_and_path(tmp_path):
    write_pictures(tmp_path)
    (tmp_path / '5.png').unlink()
    assert_one_line(caffe_command(tmp_path, 'train', '-solver=solver.prototxt'), '5.png', 'list.txt', "'data'")


class Training:
    """`caffe train` in the background."""

    def __init__(self, folder, *flags, **options):
        self.process = subprocess.Popen(
            [*COMMAND, 'train', '-solver=solver.prototxt', *flags],
            cwd=folder,
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.lines = []

    def read_until(self, pattern):
        for line in self.process.stderr:
            self.lines.append(line)
            if re.search(pattern, line):
                return
        raise AssertionError(''.join(self.lines))

    def end(self, number=None):
        """The CompletedProcess, after a signal if one is given."""
        if number:
            self.process.send_signal(number)
        rest = self.process.communicate(timeout=60)[1]
        return subprocess.CompletedProcess([], self.process.returncode, '', ''.join(self.lines) + rest)


def test_lists_and_pictures_that_shrink_while_training(tmp_path):
    write_pictures(tmp_path, LONG)
    training = Training(tmp_path)
    training.read_until(r'Iteration 3 \(')
    (tmp_path / 'list.txt').write_text('')  # the list was read at the start
    training.read_until(r'Iteration \d+ \(')
    (tmp_path / '3.png').write_bytes((tmp_path / '3.png').read_bytes()[:20])
    assert_one_line(training.end(), '3.png', "'data'")


def test_a_snapshot_folder_that_vanishes(tmp_path):
    (tmp_path / 'snaps').mkdir()
    write_run(tmp_path, solver=LONG.replace('"out"', '"snaps/out"') + 'snapshot: 400')
    training = Training(tmp_path)
    training.read_until(r'Iteration 3 \(')
    (tmp_path / 'snaps').rmdir()
    assert_one_line(training.end(), 'snaps/out_iter_400.caffemodel', 'cannot be written', 'no snapshot of')


def small_files():
    """No file of this process may grow beyond 500 bytes; writing more fails as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))


@pytest.mark.parametrize('form', ['BINARYPROTO', 'HDF5'])
def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path, form):
    write_run(tmp_path, solver=SOLVER + f'snapshot: 2 snapshot_format: {form}')
    before = sorted(os.listdir(tmp_path))
    run = Training(tmp_path, preexec_fn=small_files).end()
    assert_one_line(run, 'out_iter_2.caffemodel', 'cannot be written')
    assert sorted(os.listdir(tmp_path)) == before


def test_signals_stop_and_snapshot(tmp_path):
    write_run(tmp_path, solver=LONG)
    training = Training(tmp_path)
    training.read_until(r'Iteration 3 \(')
    training.process.send_signal(signal.SIGHUP)
    training.read_until(r'Snapshotting solver state')
    training.read_until(r'Iteration \d+ \(')
    run = training.end(signal.SIGINT)
    assert run.returncode == 0 and 'Optimization stopped early' in run.stderr
    assert len(list(tmp_path.glob('out_iter_*.solverstate'))) == 2
    assert_nothing_half_written(tmp_path)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_loses_nothing_not_even_without_snapshots_and_goes_on_and_on(tmp_path, number):
    write_run(tmp_path, solver=LONG + 'snapshot: 0 snapshot_after_train: false')
    flags, reached = [], 0
    for _ in range(2):
        training = Training(tmp_path, *flags)
        training.read_until(rf'Iteration {reached + 3} \(')
        training.process.send_signal(number)  # and again, by somebody who cannot wait
        run = training.end(number)
        assert run.returncode == 0 and 'Optimization stopped early' in run.stderr
        (state,) = [path for path in tmp_path.glob('*.solverstate') if path.name not in flags]
        assert int(state.stem.split('_')[-1]) >= reached + 4
        reached, flags = int(state.stem.split('_')[-1]), ['-snapshot', state.name]
    assert_nothing_half_written(tmp_path)


def test_sigterm_ends_a_training_at_once_where_ctrl_c_is_ignored(tmp_path):
    write_run(tmp_path, solver=LONG)
    training = Training(tmp_path, '-sigint_effect=none')
    training.read_until(r'Iteration 3 \(')
    training.process.send_signal(signal.SIGINT)
    training.read_until(r'Iteration \d+ \(')
    assert training.end(signal.SIGTERM).returncode == -signal.SIGTERM
    assert not list(tmp_path.glob('out_iter_*'))


def test_a_program_that_trains_by_the_command_keeps_its_handlers(tmp_path, monkeypatch):
    write_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    numbers = signal.SIGINT, signal.SIGHUP, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    assert main(['train', '-solver=solver.prototxt']) == 0
    assert [signal.getsignal(number) for number in numbers] == before


def test_weights_reach_layers_that_only_the_test_net_has(tmp_path, monkeypatch):
    only = (
        'layer { name: "only" type: "InnerProduct" bottom: "ip2" top: "only" include { phase: TEST } '
        'inner_product_param { num_output: 1 bias_filler { value: %d } } }'
    )
    write_run(tmp_path, NET + only % 7, SOLVER + 'test_iter: 1 test_interval: 6')
    monkeypatch.chdir(tmp_path)
    caffe.Net('net.prototxt', caffe.TEST).save('tested.caffemodel')
    (tmp_path / 'net.prototxt').write_text(NET + only % 0)
    (tmp_path / 'solver.prototxt').write_text(SOLVER + 'test_iter: 1 test_interval: 6 weights: "gone.caffemodel"')
    run = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-weights=tested.caffemodel')
    assert 'only = 7' in run.stderr and 'only = 0' not in run.stderr


def test_level_and_stage_choose_layers(tmp_path):
    extra = """layer { name: "extra" type: "Power" bottom: "ip2" top: "%s" include { %s } }"""
    write_run(tmp_path, NET + extra % ('by_stage', 'stage: "more"') + extra % ('by_level', 'min_level: 2'))
    run = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-stage=more', '-level=1')
    assert 'by_stage = ' in run.stderr and 'by_level = ' not in run.stderr
    run = caffe_command(tmp_path, 'train', '-solver=solver.prototxt', '-level=2')
    assert 'by_level = ' in run.stderr and 'by_stage = ' not in run.stderr


def test_killed_while_writing_every_snapshot_is_whole(tmp_path):
    script = ROOT / 'tools' / 'torture_snapshots.py'
    run = subprocess.run(
        [COMMAND[0], str(script), '--kills', '4', '--folder', str(tmp_path / 'run')],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert '4 kills' in run.stdout.splitlines()[-1]
