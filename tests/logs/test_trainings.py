"""Runs that belong together: resumed, restarted, appended, of several GPUs."""

import numpy as np
import pytest
from log_texts import SOLVER, feed, header, stamp, training
from sphereslim.logs.trainings import trainings


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
    both, pruned = trainings(runs, 'a.log')
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
    found = trainings(feed('\n'.join([*first, *again])), 'a')
    assert len(found) == stage_count
    assert len(found[0].curves['loss']) == (30 if stage_count == 1 else 20)


def test_restart_of_an_unfinished_run_replaces_it_but_not_of_a_finished_one():
    begun = training(last=100)
    assert len(trainings(feed('\n'.join([*begun, *training(thread=8)])), 'a')) == 1
    finished = [*training(), 'Optimization Done.']
    labels = [stage.label for stage in trainings(feed('\n'.join([*finished, *training(thread=8)])), 'a')]
    assert labels == ['a stage 1', 'a stage 2']


def test_runs_without_headers_split_where_the_iteration_goes_back():
    text = '\n'.join(f'Iteration {n}, loss = {n + 1}' for n in [0, 10, 20, 15, 25, 0, 10])
    runs = feed(text)
    assert [run.start for run in runs] == [0, 15, 0]
    first, second = trainings(runs, 'a')
    assert list(first.curves['loss'].iteration) == [0, 10, 15, 25] and len(second.curves['loss']) == 2
