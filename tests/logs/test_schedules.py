"""Learning rates and lambdas held against the header."""

import pytest
from log_texts import SOLVER, feed, stamp, training
from repository import ROOT
from sphereslim.logs.compare.lambda_schedule import check_lambdas, published_heads
from sphereslim.logs.compare.lr_schedule import check_rate, expected_rate


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
