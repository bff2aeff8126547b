"""Training logs: parsing every form, joining runs, checks against the header, verdicts, the two commands."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from html import escape

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import ROOT, SHARED
from sphereslim.logs import LogError, LogParser, parse_log
from sphereslim.logs.compare import verdict
from sphereslim.logs.compare.compare import judge, pair, read_source
from sphereslim.logs.compare.lambda_schedule import check_lambdas, formula, published_heads
from sphereslim.logs.compare.lr_schedule import check_rate, declared_steps, expected_rate
from sphereslim.logs.compare.page import page
from sphereslim.logs.compare.published_curves import read_figure
from sphereslim.logs.compare.text import pair_lines
from sphereslim.logs.compare.verdict import compare
from sphereslim.logs.curves import Curve, smooth, steps
from sphereslim.logs.follow import Follower, progress
from sphereslim.logs.stages import stages
from tiny_run import write_run

LOGS = SHARED / 'published' / 'logs'
GOLDEN = SHARED / 'goldens' / 'trajectories' / 'a_softmax_m4_train.log'
HEAD = {'base': 1000.0, 'gamma': 0.12, 'power': 1.0, 'lambda_min': 5.0, 'iteration': 0.0}
SOLVER = {'base_lr': '0.1', 'gamma': '0.1', 'lr_policy': '"multistep"', 'max_iter': '300', 'stepvalue': '150'}


def shared(path):
    if not path.exists():
        pytest.skip(f'{path} is not here')
    return path


def feed(text):
    parser = LogParser('a.log')
    for line in text.splitlines():
        parser.feed(line)
    return parser.finish()


def stamp(second, thread=7, date='0102'):
    return f'I{date} 10:{second // 60:02}:{second % 60:02}.500000 {thread} solver.cpp:218] '


def header(solver=SOLVER, head=HEAD, thread=7, name='net'):
    prefix = stamp(0, thread)
    lines = [
        f'{prefix}Initializing solver from parameters: ',
        *[f'{key}: {value}' for key, value in solver.items()],
        f'{prefix}Creating training net from net file: x',
        f'{prefix}Initializing net from parameters: ',
        f'name: "{name}"',
    ]
    if head:
        lines += [
            'layer {',
            '  name: "ip"',
            '  type: "MarginInnerProduct"',
            '  top: "logits"',
            '  top: "mix"',
            '  margin_inner_product_param {',
            *[f'    {key}: {value:g}' for key, value in head.items()],
            '  }',
            '}',
        ]
    return [*lines, f'{prefix}layer_factory.hpp:77] Creating layer data']


def training(first=0, last=300, every=10, head=HEAD, solver=SOLVER, count=lambda n: n + 1, thread=7, **kwargs):
    """Lines of a whole training whose loss falls from 9 to 4; `count` says which forward lambda is shown of."""
    lines = header(solver, head, thread, **kwargs)
    for place, n in enumerate(range(first, last, every)):
        at = stamp(1 + place, thread)
        loss = 4 + 5 * np.exp(-n / 100)
        lines += [
            f'{at}Iteration {n} (9.9 iter/s, 1.01s/10 iters), loss = {loss:.6g}',
            f'{at}    Train net output #0: mix = {formula(HEAD, count(n)):.6g}',
            f'{at}    Train net output #1: sl = {loss:.6g} (* 1 = {loss:.6g} loss)',
            f'{at}Iteration {n}, lr = {expected_rate(parsed(solver), n):g}',
        ]
    return lines


def parsed(solver):
    return {key: value.strip('"').split() for key, value in solver.items()}


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


def test_a_gpu_that_lags_behind_is_no_run_of_its_own():
    lines = header()
    for n, thread in ((0, 7), (10, 7), (0, 8), (10, 8), (20, 7), (20, 8)):
        lines.append(f'{stamp(n, thread)}Iteration {n}, loss = {n + thread}')
    (run,) = feed('\n'.join(lines))
    assert [row.loss for row in run.train] == [7, 17, 27]


def test_appended_runs_are_stages_and_resumed_ones_are_not():
    first, again = training(last=200), training(first=100, thread=70)
    again.insert(len(header()), stamp(0, 70) + 'Resuming from x_iter_100.solverstate')
    other = training(name='pruned', thread=71)
    runs = feed('\n'.join([*first, *again, *other]))
    assert [run.start for run in runs] == [0, 100, 0] and runs[1].resumed_from == 'x_iter_100.solverstate'
    both, pruned = stages(runs, 'a.log')
    assert [len(both.runs), len(pruned.runs)] == [2, 1]
    loss = both.curves['loss']
    assert np.array_equal(loss.iteration, np.arange(0, 300, 10)) and np.all(np.diff(loss.seconds) >= 0)
    assert loss.seconds[-1] == pytest.approx(9 + 1 + 19, abs=11)


@pytest.mark.parametrize('state, stage_count', [('out/x_iter_100', 1), ('other/x_iter_100', 2)])
def test_a_run_that_restores_a_state_of_a_stage_goes_on_with_it_in_another_net_file(state, stage_count):
    first, again = (
        training(
            last=last, first=start, thread=thread, solver=SOLVER | {'snapshot_prefix': '"out/x"', 'net': f'"{net}"'}
        )
        for last, start, thread, net in [
            (200, 0, 7, 'out/train.prototxt'),
            (300, 100, 70, 'out/train_continued.prototxt'),
        ]
    )
    again.append(stamp(99, 70) + 'Optimization Done.')
    again.insert(
        again.index(next(line for line in again if 'Iteration' in line)),
        stamp(0, 70) + f'Resuming from {state}.solverstate',
    )
    found = stages(feed('\n'.join([*first, *again])), 'a')
    assert len(found) == stage_count
    assert len(found[0].curves['loss']) == (30 if stage_count == 1 else 20)


def test_restart_of_an_unfinished_run_replaces_it_but_not_of_a_finished_one():
    begun = training(last=100)
    assert len(stages(feed('\n'.join([*begun, *training(thread=8)])), 'a')) == 1
    finished = [*training(), 'Optimization Done.']
    labels = [stage.label for stage in stages(feed('\n'.join([*finished, *training(thread=8)])), 'a')]
    assert labels == ['a stage 1', 'a stage 2']


def test_runs_without_headers_split_where_the_iteration_goes_back():
    text = '\n'.join(f'Iteration {n}, loss = {n + 1}' for n in [0, 10, 20, 15, 25, 0, 10])
    runs = feed(text)
    assert [run.start for run in runs] == [0, 15, 0]
    first, second = stages(runs, 'a')
    assert list(first.curves['loss'].iteration) == [0, 10, 15, 25] and len(second.curves['loss']) == 2


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


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
        ('cut.gz', gzip.compress(b'Iteration 1, loss = 2\n')[:12], 'broken gzip'),
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
    for stage in stages(runs, 'x'):
        for curve in stage.curves.values():
            assert len(curve) == len(curve.seconds) and np.all(np.diff(curve.iteration) >= 0)
        assert judge(stage, stage, 0.05, [], 5).verdicts
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


@pytest.mark.parametrize(
    'solver, iteration, rate',
    [
        ({'lr_policy': 'fixed', 'base_lr': '0.1'}, 5, 0.1),
        ({'lr_policy': 'step', 'base_lr': '0.1', 'gamma': '0.5', 'stepsize': '10'}, 25, 0.025),
        ({'lr_policy': 'exp', 'base_lr': '0.1', 'gamma': '0.5'}, 3, 0.0125),
        ({'lr_policy': 'inv', 'base_lr': '0.1', 'gamma': '1', 'power': '2'}, 1, 0.025),
        ({'lr_policy': 'poly', 'base_lr': '0.1', 'power': '2', 'max_iter': '10'}, 5, 0.025),
        ({'lr_policy': 'sigmoid', 'base_lr': '0.1', 'gamma': '-1', 'stepsize': '5'}, 5, 0.05),
        ({'lr_policy': 'step', 'base_lr': '0.1', 'gamma': '0.5'}, 25, None),
        ({'lr_policy': 'warm', 'base_lr': '0.1'}, 25, None),
    ],
)
def test_rate_policies(solver, iteration, rate):
    got = expected_rate({key: [value] for key, value in solver.items()}, iteration)
    assert got == rate if rate is None else got == pytest.approx(rate)


def test_rate_found_where_declared_or_not():
    text = '\n'.join(training())
    check = check_rate(feed(text)[0])
    assert check['verdict'] == 'as declared' and check['found'] == [(140, 150)] and check['declared'] == [150]
    wrong = check_rate(feed(text.replace('stepvalue: 150', 'stepvalue: 200'))[0])
    assert wrong['verdict'] == 'differs' and 'first at 150' in wrong['text']
    status = stamp(80) + 'MultiStep Status: Iteration 290, step = 1'
    assert check_rate(feed(f'{text}\n{status}')[0])['verdict'] == 'differs'
    assert check_rate(feed('Iteration 0, lr = 0.1')[0])['verdict'] == 'cannot tell'


@pytest.mark.parametrize(
    'solver, first, count, words',
    [
        (SOLVER, 0, lambda n: n + 1, 'from the start of this run'),
        (SOLVER, 100, lambda n: n - 99, 'from the start of this run'),
        (SOLVER, 100, lambda n: n + 1, 'on over the resume'),
        ({**SOLVER, 'iter_size': '4'}, 0, lambda n: 4 * (n + 1), 'from the start of this run'),
        ({**SOLVER, 'iter_size': '4'}, 0, lambda n: n + 1, 'one more each iteration'),
        ({**SOLVER, 'iter_size': '4'}, 0, lambda n: 4 * n + 1, 'first forward'),
        (SOLVER, 0, lambda n: n, 'one forward late'),
    ],
)
def test_lambda_countings(solver, first, count, words):
    (check,) = check_lambdas(feed('\n'.join(training(first=first, solver=solver, count=count)))[0], {})
    assert check['verdict'] == 'as its formula' and words in check['counting'] and check['error'] < 1e-5


def test_lambda_that_is_not_its_formula():
    (check,) = check_lambdas(feed('\n'.join(training(count=lambda n: 3 * n + 7)))[0], {})
    assert check['verdict'] == 'differs' and 'gamma·count = 0.36' in check['text']


def test_lambda_without_a_net_is_held_against_the_published_heads():
    text = '\n'.join(line for line in training(head=None)).replace('mix', 'lambda')
    (check,) = check_lambdas(feed(text)[0], published_heads(ROOT / 'published'))
    assert check['verdict'] == 'as its formula' and 'published' in check['text'] and check['head']['gamma'] == 0.12


def noisy(seed, level=0.0, count=400, sigma=0.3, every=10):
    n = np.arange(count) * every
    value = 4 + 5 * np.exp(-n / (every * count / 4)) + level
    return Curve('loss', n, value + np.random.default_rng(seed).normal(0, sigma, count))


def test_smoothing_is_the_straight_line_of_each_window():
    curve = noisy(0)
    value, error = smooth(curve, [1000.0, 0.0, 5000.0], 150)
    near = np.abs(curve.iteration - 1000) <= 150
    fit = np.polyfit(curve.iteration[near] - 1000, curve.value[near], 1)
    assert value[0] == pytest.approx(fit[1], rel=1e-9) and np.isnan(value[2])
    assert error[0] == pytest.approx(0.3 / np.sqrt(near.sum()), rel=0.4) and error[1] > error[0]


def test_smoothing_does_not_reach_over_a_step():
    curve = Curve('loss', np.arange(100), np.where(np.arange(100) < 50, 2.0, 1.0))
    value, _ = smooth(curve, curve.iteration, 20, [50])
    assert np.allclose(value, curve.value)
    assert steps(curve) == [(49, 50, 0.5)]


def test_a_smoothed_loss_stays_between_the_values_seen():
    curve = Curve('loss', np.arange(40), np.maximum(5 - np.arange(40) / 7.8, 0.1))
    value, _ = smooth(curve, curve.iteration, 4)
    assert value[-1] == 0.1 and value.max() <= 5


def with_layers(**outputs):
    """The header of a net with inner products of so many outputs, and a few iterations."""
    layers = '\n'.join(
        f'layer {{\n  name: "{name}"\n  inner_product_param {{\n    num_output: {count}\n  }}\n}}'
        for name, count in outputs.items()
    )
    *head, end = header(head=None)
    rows = [f'{stamp(n)}Iteration {n}, loss = 1' for n in range(9)]
    return stages(feed('\n'.join([*head, layers, end, *rows])), 'log')[0]


@pytest.mark.parametrize(
    'theirs, ours, told',
    [
        ({'fc': 4}, {'fc': 4}, ''),
        ({}, {'fc': 4}, ''),
        ({'fc': 4}, {}, ''),
        ({'a': 2, 'fc': 10572}, {'a': 2, 'fc': 40}, "layer 'fc' has 10572 outputs against 40 outputs"),
        (
            {'a': 2, 'fc': 4},
            {'b': 2, 'fc': 3},
            "layer 'a' has 2 outputs against no such layer, and so for 2 more layers",
        ),
    ],
)
def test_logs_of_other_nets_are_told(theirs, ours, told):
    found = judge(with_layers(**theirs), with_layers(**ours), 0.05, (), 12)
    assert found.nets == (f'the nets differ, so curves may: {told}' if told else '')
    assert found.nets in '\n'.join(pair_lines(found)) and escape(found.nets) in page([], [found])


def test_verdicts():
    assert compare(noisy(1), noisy(2), [])['verdict'] == 'matches'
    assert compare(noisy(1), noisy(1), [])['verdict'] == 'identical'
    worse = compare(noisy(1), noisy(2, level=1.0), [])
    assert worse['verdict'] == 'differs' and np.mean([p['difference'] for p in worse['checkpoints']]) > 0.8
    assert compare(noisy(1), noisy(2, every=37), [])['verdict'] == 'differs'
    far = noisy(1)
    far.iteration += 1e6
    assert compare(noisy(1), far, [])['verdict'] == 'cannot tell'
    assert compare(noisy(1, count=60, sigma=3), noisy(2, count=60, sigma=3), [])['verdict'] == 'cannot tell'
    diverged = noisy(2)
    diverged.value[350:] = np.nan
    assert compare(noisy(1), diverged, [])['verdict'] == 'differs'


def test_a_difference_that_lasts_is_seen_in_noise():
    at, theirs, own, noise = np.arange(16.0), np.zeros(16), np.full(16, 0.1), np.ones(16)
    around = np.tile([0.9, -0.9], 8)
    assert [verdict._judge(at, theirs, mine, own, noise)['verdict'] for mine in (around, np.abs(around))] == [
        verdict.MATCHES,
        verdict.DIFFERS,
    ]


def test_noise_hides_what_is_smaller_only():
    flat, steep = np.linspace(1, 1.001, 9), np.linspace(1, 5, 9)
    own = np.full(9, 0.05)
    assert verdict._too_noisy(flat, own, np.full(9, 0.2))
    assert not verdict._too_noisy(flat, own, np.full(9, 0.01))
    assert not verdict._too_noisy(steep, own, np.full(9, 0.2))


def test_rates_are_compared_as_printed():
    rate = np.where(np.arange(100) < 50, 0.1, 0.01)
    theirs = Curve('lr', np.arange(100) * 10, rate)
    between = Curve('lr', np.arange(0, 990, 7), np.where(np.arange(0, 990, 7) < 500, 0.1, 0.01))
    assert compare(theirs, between, [])['verdict'] == 'matches'
    late = Curve('lr', theirs.iteration, np.where(np.arange(100) < 60, 0.1, 0.01))
    assert compare(theirs, late, [])['verdict'] == 'differs'


def test_stage_folders_pair_with_figure_columns_by_name(tmp_path):
    for name in ('01-conv1_1', '02-conv2_1', '04-conv4_1', '05-conv4_1-ADD'):
        (tmp_path / name).mkdir()
        write(tmp_path / name, 'train.log', '\n'.join(training()))
    figure = read_figure(ROOT / 'published/curves/sphereface4_per_layer_loss.csv')
    both = pair(figure, read_source(tmp_path))
    assert [(theirs.names, mine.label.split('/')[-1]) for theirs, mine in both] == [
        ('conv1_1', '01-conv1_1'),
        ('conv2_1', '02-conv2_1'),
        ('conv4_1', '04-conv4_1'),
        ('conv4_1-ADD', '05-conv4_1-ADD'),
    ]


@pytest.mark.parametrize('path', sorted((ROOT / 'published/curves').glob('*.csv')), ids=lambda path: path.stem)
def test_published_curves_read_and_match_themselves(path):
    for stage in read_figure(path):
        curve = stage.curves['loss']
        assert np.all(np.diff(curve.iteration) > 0) and curve.value.min() > 0
        assert compare(curve, curve, [])['verdict'] == 'identical'


@pytest.mark.parametrize(
    'text, words',
    [
        ('', 'empty'),
        ('a,b\n', 'line 1'),
        ('iteration,a\n1\n', 'line 2'),
        ('iteration,a\n1,x\n', 'line 2'),
        ('iteration,a\n1,\n', 'no points'),
    ],
)
def test_malformed_figures(tmp_path, text, words):
    with pytest.raises(LogError, match=words):
        read_figure(write(tmp_path, 'a.csv', text))


def test_follower_reads_complete_lines_only_and_notices_a_new_log(tmp_path):
    path = write(tmp_path, 'a.log', 'Iteration 1, loss = 2\nIteration 2, lo')
    follower = Follower(path)
    assert follower.read_on() and len(follower.runs[0].train) == 1 and not follower.read_on()
    with open(path, 'a') as file:
        file.write('ss = 3\n')
    assert follower.read_on() and follower.runs[0].train[-1].loss == 3 and 'iteration 2' in progress(follower.runs)
    write(tmp_path, 'a.log', 'Iteration 5, loss = 1\n')
    assert follower.read_on() and [row.iteration for row in follower.runs[0].train] == [5]


def command(tool, *words):
    return subprocess.run([sys.executable, ROOT / 'tools' / tool, *map(str, words)], capture_output=True, text=True)


def test_compare_command_writes_page_and_json(tmp_path):
    ours = write(tmp_path, 'ours.log', '\n'.join(training()))
    theirs = write(tmp_path, 'theirs.log', '\n'.join(training(every=5)))
    done = command('compare_logs.py', theirs, ours, '--html', tmp_path / 'p.html', '--json', tmp_path / 'p.json')
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / 'p.json').read_text())
    assert {one['quantity']: one['verdict'] for one in data['pairs'][0]['curves']} == {
        'loss': 'matches',
        'lambda': 'matches',
        'lr': 'matches',
    }
    page = (tmp_path / 'p.html').read_text()
    assert page.count('data:image/png;base64,') == 3 and 'viewport' in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)


def test_commands_answer_bad_input_with_one_line(tmp_path):
    good = write(tmp_path, 'good.log', '\n'.join(training()))
    bad = write(tmp_path, 'bad.log', bytes(range(256)) * 20)
    for words in (
        ('compare_logs.py', good, bad),
        ('compare_logs.py', tmp_path / 'no.log'),
        ('plot_log.py', bad),
        ('compare_logs.py', good, '--json', good / 'where.json'),
    ):
        done = command(*words)
        assert done.returncode == 1 and done.stderr.count('\n') == 1 and 'Traceback' not in done.stderr, words


def test_plot_command_follows_until_interrupted(tmp_path):
    log, picture = write(tmp_path, 'a.log', '\n'.join(training()) + '\n'), tmp_path / 'a.png'
    words = [sys.executable, ROOT / 'tools/plot_log.py', log, '-o', picture, '--follow', '--interval', '0.05']
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert 'iteration 290 of 300' in process.stdout.readline()
    with open(log, 'a') as file:
        file.write('Iteration 295, loss = 4\n')
    assert 'iteration 295 of 300' in process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and 'stopped' in rest and not errors
    assert picture.read_bytes().startswith(b'\x89PNG') and sorted(tmp_path.iterdir()) == [log, picture]


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
        [quick_command, 'train', '-solver=net/solver.prototxt'], cwd=tmp_path, text=True, capture_output=True
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
    (stage,) = stages([run], name)
    verdicts = judge(stage, stage, 0.05, [], 12).verdicts
    assert {one['verdict'] for one in verdicts} == {'identical'}


def test_published_logs_of_different_trainings_differ():
    first, second = (
        stages(parse_log(shared(LOGS / name)), name)[0]
        for name in ('amsoftmax_facenet20_112x96.log.gz', 'resnet20_cifar10.log.gz')
    )
    verdicts = {one['quantity']: one['verdict'] for one in judge(first, second, 0.05, [], 12).verdicts}
    assert verdicts == {'loss': 'differs', 'lr': 'differs'}
