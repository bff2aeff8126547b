"""Reading logs: every form, broken and cut ones, those of two trainings in one file."""

import gzip
import os
import re
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_texts import LOGS, SOLVER, feed, header, shared, stamp, training, write
from repository import SHARED
from sphereslim.logs import LogError, parse_log
from sphereslim.logs.compare.compare import judge
from sphereslim.logs.compare.lambda_schedule import check_lambdas
from sphereslim.logs.compare.lr_schedule import check_rate, declared_steps
from sphereslim.logs.trainings import trainings
from tiny_run import write_run

GOLDEN = SHARED / 'goldens' / 'trajectories' / 'a_softmax_m4_train.log'

AGES = {
    '2013': (
        'I1203 10:00:01.000001 99 solver.cpp:204] Iteration 100, lr = 0.01\n'
        'I1203 10:00:01.000002 99 solver.cpp:66] Iteration 100, loss = 0.26\n'
        'I1203 10:00:02.000002 99 solver.cpp:84] Testing net\n'
        'I1203 10:00:03.000002 99 solver.cpp:111] Test score #0: 0.9785\n'
    ),
    '2014': (
        'I0317 21:53:12.185698 2008298256 solver.cpp:195] Iteration 100, loss = 0.26\n'
        'I0317 21:53:12.185699 2008298256 solver.cpp:210]     Train net output #0: a = 0.5 (* 1 = 0.5 loss)\n'
        'I0317 21:53:12.185701 2008298256 solver.cpp:365] Iteration 100, lr = 0.01\n'
        'I0317 21:53:13.185701 2008298256 solver.cpp:232] Iteration 100, Testing net (#0)\n'
        'I0317 21:53:14.185701 2008298256 solver.cpp:270]     Test net output #0: acc = 0.9785\n'
    ),
    'final bvlc': (
        'I20261121 07:29:30.1 11 solver.cpp:218] Iteration 100 (-1e-05 iter/s, 0.05s/5 iters), loss = 0.26\n'
        'I20261121 07:29:30.1 11 sgd_solver.cpp:105] Iteration 100, lr = 1e-2\n'
        'I20261121 07:29:30.1 11 solver.cpp:330] Iteration 100, Testing net (#0)\n'
        'I20261121 07:29:30.1 11 solver.cpp:397]     Test net output #0: acc = 9.785e-1\n'
    ),
    'nvidia': (
        'I0930 11:22:33.123456 21 solver.cpp:342] [0.0] Iteration 100 (5.2 iter/s, 19.2s/100 iter), 1.2/90ep, '
        'loss = 0.26\n'
        'I0930 11:22:33.123456 21 sgd_solver.cpp:180] [0.0] Iteration 100, lr = 0.01, m = 0.9, wd = 0.0005\n'
        'I0930 11:22:34.123456 21 solver.cpp:563] Iteration 100, Testing net (#0)\n'
        'I0930 11:22:35.123456 21 solver.cpp:633]     Test net output #0: acc = 0.9785\n'
    ),
    'no prefix': (
        'Iteration 100, loss = .26\n    Train net output #0: a = 0.5\nIteration 100, lr = 0.01\n'
        'Iteration 100, Testing net (#0)\n    Test net output #0: acc = 0.9785\n'
    ),
}


@pytest.mark.parametrize('age', AGES)
def test_every_age_reads_alike(age):
    (run,) = feed(AGES[age])
    (row,) = run.train
    (test,) = run.test
    assert (row.iteration, row.loss, row.lr) == (100, 0.26, 0.01)
    assert test.iteration == 100 and list(test.outputs.values()) == [0.9785]
    assert run.clock == (None if age == 'no prefix' else 'time stamps')


def test_header_fields_and_events():
    lines = training()
    lines += [
        stamp(60) + 'Snapshotting to binary proto file /d/a_iter_300.caffemodel',
        stamp(60) + 'Iteration 300, loss = 3.5',
        'Optimization Done.',
    ]
    (run,) = feed('\n'.join(lines))
    assert run.name == 'net' and run.done and run.ending == 'finished'
    assert declared_steps(run.solver) == [150] and run.roles() == {'mix': 'lambda'}
    assert run.snapshots == [(300, '/d/a_iter_300.caffemodel')] and run.loss_weights == {'sl': 1}
    assert run.train[-1].iteration == 300 and run.train[-1].lr is None and run.train[3].outputs.keys() == {'mix', 'sl'}


def test_seconds_cross_new_year_and_fall_back_to_rates():
    (run,) = feed('I1231 23:59:50 5 s.cpp:1] Iteration 0, loss = 1\nI0101 00:00:10 5 s.cpp:1] Iteration 1, loss = 1')
    assert [row.seconds for row in run.train] == [0, 20]
    (run,) = feed('Iteration 0 (1 iter/s, 2.5s/2 iters), loss = 1\nIteration 2 (1 iter/s, 3.5s/2 iters), loss = 1')
    assert run.clock == 'iter/s' and [row.seconds for row in run.train] == [2.5, 6.0]


def test_outputs_without_their_iteration_wait_for_the_rate():
    lines = [
        stamp(1) + '    Train net output #0: a = 1',
        stamp(1) + 'Iteration 10, lr = 0.5',
        stamp(2) + 'Iteration 20, loss = 2',
        stamp(2) + '    Train net output #0: a = 2',
        stamp(3) + '    Train net output #0: a = 3',
        stamp(3) + 'Iteration 30, lr = 0.5',
    ]
    (run,) = feed('\n'.join(lines))
    assert [(row.iteration, row.loss, row.outputs) for row in run.train] == [
        (10, None, {'a': 1}),
        (20, 2, {'a': 2}),
        (30, None, {'a': 3}),
    ]


def test_blob_of_several_values_and_values_that_are_no_numbers():
    (run,) = feed(
        'Iteration 5, loss = -nan\n    Train net output #0: p = 1\n    Train net output #1: p = inf\n'
        'Iteration 5, lr = 1.#QNAN'
    )
    (row,) = run.train
    assert row.outputs == {'p': 1, 'p[1]': np.inf} and np.isnan(row.loss) and np.isnan(row.lr)


def test_two_messages_in_one_line_and_foreign_threads():
    text = (
        stamp(1)
        + 'Iteration 10, loss = 1.5'
        + stamp(1, 8)
        + 'Restarting data prefetching from start.\n'
        + stamp(1, 9)
        + 'image_data_layer.cpp:38] Opening file x\n'
        + stamp(2)
        + 'Iteration 20, loss = 1.25'
    )
    (run,) = feed(text)
    assert [row.loss for row in run.train] == [1.5, 1.25]


def test_header_interleaved_by_another_thread():
    lines = header()
    lines.insert(3, stamp(0, 99) + 'data_layer.cpp:73] Restarting data prefetching from start.')
    (run,) = feed('\n'.join(lines))
    assert run.solver.keys() == SOLVER.keys() and run.name == 'net'


@pytest.mark.parametrize('order', [(7, 8), (8, 7)])
def test_other_gpus_repeat_the_iterations(order):
    lines = header()
    for n in (0, 10, 20):
        for thread in order:
            lines += [
                f'{stamp(n, thread)}Iteration {n}, loss = {n + thread}',
                f'{stamp(n, thread)}    Train net output #0: a = {thread}',
            ]
    runs = feed('\n'.join(lines))
    assert [len(run.train) for run in runs] == [3]
    assert [(row.loss - row.iteration, row.outputs['a']) for row in runs[0].train] == 3 * [(order[0], order[0])]


def test_files_plain_compressed_and_cut_off(tmp_path):
    text = '\n'.join(training()) + '\n'
    whole = parse_log(write(tmp_path, 'a.log', text))[0]
    packed = gzip.compress(os.urandom(3000).hex().encode() + b'\n' + text.encode())
    assert len(parse_log(write(tmp_path, 'b', packed))[0].train) == len(whole.train)
    assert len(parse_log(write(tmp_path, 'c.gz', packed[:-300]))[0].train) <= len(whole.train)
    assert len(parse_log(write(tmp_path, 'd.log', text.encode('utf-16')))[0].train) == len(whole.train)
    assert len(parse_log(write(tmp_path, 'e.log', text.replace('\n', '\r\n')))[0].train) == len(whole.train)


def test_half_written_last_number_is_left_out(tmp_path):
    (run,) = parse_log(write(tmp_path, 'a.log', 'Iteration 1, loss = 2.5\nIteration 2, loss = 2.'))
    assert [row.loss for row in run.train] == [2.5]
    (run,) = parse_log(write(tmp_path, 'a.log', 'Iteration 1, loss = 2\n    Train net output #0: a = 2.5 (* 1 = 2.'))
    assert run.train[0].outputs == {'a': 2.5}


@pytest.mark.parametrize(
    'name, data, words',
    [
        ('empty.log', b'', 'empty'),
        ('binary.log', bytes(range(256)) * 20, 'not a text file'),
        ('picture.log', b'\x89PNG\r\n\x1a\n' + bytes(500), 'not a text file'),
        ('prose.log', b'nothing of the kind\n', 'not the log of a Caffe training'),
        ('begun.log', '\n'.join(header()).encode(), 'a training was begun'),
        ('cut.gz', gzip.compress(b'Iteration 1, loss = 2\n', mtime=0)[:12], 'broken gzip'),
        ('folder', None, 'is a folder'),
        ('missing.log', None, 'No such file'),
    ],
)
def test_unusable_files_end_in_one_line(tmp_path, name, data, words):
    if name == 'folder':
        (tmp_path / name).mkdir()
    elif data is not None:
        write(tmp_path, name, data)
    with pytest.raises(LogError) as caught:
        parse_log(tmp_path / name)
    assert words in str(caught.value) and name in str(caught.value) and '\n' not in str(caught.value)


BODY = '\n'.join([*training(), *training(first=100, thread=9), *AGES.values()]) + '\n'


@settings(max_examples=60, deadline=None)
@given(
    cut=st.integers(0, len(BODY)),
    noise=st.lists(st.tuples(st.integers(0, len(BODY)), st.text(max_size=8)), max_size=30),
)
def test_garbled_logs_never_break_the_parser(cut, noise):
    text = BODY[:cut]
    for place, junk in noise:
        text = text[:place] + junk + text[place + len(junk) :]
    runs = feed(text)
    for told in trainings(runs, 'x'):
        for curve in told.curves.values():
            assert len(curve) == len(curve.seconds) and np.all(np.diff(curve.iteration) >= 0)
        assert judge(told, told, 0.05, [], 5).verdicts
    for run in runs:
        assert all(row.iteration >= 0 for row in run.train)
        check_rate(run), check_lambdas(run, {})


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, len(BODY)))
def test_cut_log_holds_the_rows_of_the_whole(cut, tmp_path_factory):
    path = write(tmp_path_factory.mktemp('cut'), 'a.log', BODY[:cut])
    try:
        runs = parse_log(path)
    except LogError:
        return
    for run, whole in zip(runs, feed(BODY)):
        for row, same in zip(run.train, whole.train):
            assert row.iteration == same.iteration and row.loss in (None, same.loss) and row.lr in (None, same.lr)
            assert row.outputs.items() <= same.outputs.items()


def assert_bvlc_patterns_find(run, text):
    """What BVLC's parse_log looks for in the log `text` is what `run` holds."""
    rates = [float(one[0]) for one in re.findall(r'lr = ([-+]?\d*\.?\d+([eE][-+]?\d+)?)', text)]
    assert rates == [row.lr for row in run.train if row.lr is not None]
    outputs = re.findall(r'Train net output #(\d+): (\S+) = ([\.\deE+-]+)', text)
    assert [float(value) for _, name, value in outputs if name == 'lambda'] == list(run.train.series('lambda')[1])
    assert {int(one) for one in re.findall(r'Iteration (\d+)', text)} == {row.iteration for row in run.train}


def test_our_own_log_and_bvlc_patterns_agree(tmp_path, quick_command):
    write_run(tmp_path)
    done = subprocess.run(
        [quick_command, 'train', '-solver=net/solver.prototxt', '-minloglevel=0'],
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    (run,) = parse_log(write(tmp_path, 'train.log', done.stderr))
    assert [row.iteration for row in run.train] == [0, 1, 2, 3] and run.done
    assert_bvlc_patterns_find(run, done.stderr)
    lines = done.stderr[done.stderr.index('Solving') :].splitlines()  # it takes the time from each of these
    assert all(re.match(r'[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} ', line) for line in lines[1:])


def test_genuine_log_and_bvlc_patterns_agree():
    (run,) = parse_log(shared(GOLDEN))
    assert_bvlc_patterns_find(run, GOLDEN.read_text())
    (check,) = check_lambdas(run, {})
    assert check['verdict'] == 'as its formula' and check['counting'].endswith('from the start of this run')
    assert check_rate(run)['verdict'] == 'as declared' and run.steps == [(20, 1)] and run.done


PUBLISHED = {  # rows, tests, start, verdict on the rate
    'amsoftmax_facenet20_112x96.log.gz': (8173, 0, 1062, 'as declared'),
    'amsoftmax_facenet20_short.log': (93, 0, 395000, 'as declared'),
    'mobilefacenet_amsoftmax_webface.log.gz': (361, 0, 0, 'cannot tell'),
    'resnet20_cifar10.log.gz': (641, 65, 0, 'as declared'),
    'sphereface_issue103_excerpt_iter11300.log': (2, 0, 11300, 'cannot tell'),
    'sphereface_issue103_excerpt_iter2000.log': (4, 0, 2000, 'cannot tell'),
    'sphereface_issue103_excerpt_iter21900.log': (2, 0, 21900, 'cannot tell'),
    'sphereface_issue40_excerpt_iter7000.log': (2, 0, 7000, 'cannot tell'),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_logs(name):
    (run,) = parse_log(shared(LOGS / name))
    assert (len(run.train), len(run.test), run.start, check_rate(run)['verdict']) == PUBLISHED[name]
    (told,) = trainings([run], name)
    verdicts = judge(told, told, 0.05, [], 12).verdicts
    assert {one['verdict'] for one in verdicts} == {'identical'}
