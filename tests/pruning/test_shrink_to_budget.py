"""Nets made smaller step by step, without training."""

import cv2
import numpy as np
import pytest
from residual_block import NET, model_of
from sphereslim.channels.groups import Groups
from sphereslim.criteria.context import Context
from sphereslim.criteria.obs import measure_all, without
from sphereslim.data.feed import Feed
from sphereslim.errors import SlimError
from sphereslim.evaluation.output_distance import cosine_distance
from sphereslim.net.opened import open_net, weights_of
from sphereslim.net.prototxt import parse_net
from sphereslim.net.weights import weight_layers
from sphereslim.pruning.model import Model, cost, slim
from sphereslim.pruning.reconstruct import Fit
from sphereslim.pruning.shrink_to_budget import Settings, Shrinking
from sphereslim.pruning.trials import Trials, outputs_of


@pytest.fixture
def model():
    return model_of(NET)


@pytest.fixture
def feeds(tmp_path):
    """Two feeds of twelve pictures of noise."""
    rng = np.random.default_rng(1)
    paths = [tmp_path / f'{number}.png' for number in range(24)]
    for path in paths:
        cv2.imwrite(str(path), rng.integers(0, 256, (8, 8, 3)).astype(np.uint8))
    return [Feed('data', (3, 8, 8), tuple(part), batch=6) for part in (paths[:12], paths[12:])]


def settings(**more):
    return Settings(**{'stride': 0.1, 'fit': Fit(30)} | more)


def test_every_step_stays_below_its_limit_and_loses_more(model, feeds, tmp_path):
    whole = cost(model.net)[0]
    steps = list(Shrinking(model, *feeds, tmp_path / 'slim', settings()).steps([0.8 * whole, 0.5 * whole]))
    assert [round(step.limit / whole, 6) for step in steps] == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert all(step.limit - 0.1 * whole < step.price <= step.limit for step in steps)
    assert all(step.price == step.macs == cost(step.model().net)[0] for step in steps)
    assert 0 < steps[0].loss < steps[-1].loss
    found = cosine_distance(outputs_of(steps[-1].model(), feeds[1]), outputs_of(model, feeds[1]))
    assert found == pytest.approx(steps[-1].loss)


def test_outputs_that_are_no_numbers_are_refused(model, feeds):
    weight_layers(model.weights)['first'].blobs[0].data[0] = float('nan')
    with pytest.raises(SlimError, match="blob 'out' behind layer 'out' is not all numbers"):
        outputs_of(model, feeds[1])


def test_a_refitted_step_loses_less_than_its_cut_alone(model, feeds, tmp_path):
    shrinking = Shrinking(model, *feeds, tmp_path / 'slim', settings())
    for step in shrinking.steps([0.7 * cost(model.net)[0]]):
        cut = slim(shrinking.whole(), {name: np.array(kept) for name, kept in step.kept.items()})
        assert step.loss < cosine_distance(outputs_of(cut, feeds[1]), outputs_of(model, feeds[1]))


def test_a_run_continues_behind_the_last_step_and_refuses_other_settings(model, feeds, tmp_path, monkeypatch):
    target = [0.7 * cost(model.net)[0]]
    steps = Shrinking(model, *feeds, tmp_path / 'slim', settings()).steps(target)
    first = [next(steps), next(steps)]
    limits = []
    smaller = Shrinking._smaller
    monkeypatch.setattr(Shrinking, '_smaller', lambda *args: limits.append(args[-1]) or smaller(*args))
    continued = list(Shrinking(model, *feeds, tmp_path / 'slim', settings()).steps(target))
    assert continued[:2] == first and limits == [pytest.approx(target[0])]
    whole = list(Shrinking(model, *feeds, tmp_path / 'other', settings()).steps(target))
    assert [(step.kept, step.loss) for step in whole] == [(step.kept, step.loss) for step in continued]
    with pytest.raises(SlimError, match='multiple'):
        next(Shrinking(model, *feeds, tmp_path / 'slim', settings(multiple=4)).steps(target))


def test_numbers_of_channels_are_multiples_where_asked(model, feeds, tmp_path):
    *_, step = Shrinking(model, *feeds, tmp_path, settings(multiple=4)).steps([0.6 * cost(model.net)[0]])
    assert {len(kept) % 4 for kept in step.kept.values()} == {0}


def test_a_refined_step_is_nearer_to_the_original_on_more_pictures(model, feeds, tmp_path):
    few = Feed('data', (3, 8, 8), feeds[0].paths[:2])
    shrinking = Shrinking(model, few, feeds[1], tmp_path, settings())
    *_, step = shrinking.steps([0.7 * cost(model.net)[0]])
    assert shrinking.refined(step, feeds[0]).loss < step.loss


def test_a_budget_out_of_reach_and_a_net_without_groups_are_told(model, feeds, tmp_path):
    with pytest.raises(SlimError, match='budget of 10: no choice of channels costs as little, expected at least '):
        next(Shrinking(model, *feeds, tmp_path, settings()).steps([10]))
    net = parse_net(NET.split('layer { name: "wide"')[0])
    lone = Model(net, weights_of(open_net(net)), Groups(net))
    with pytest.raises(SlimError, match='no group of channels can be pruned'):
        Shrinking(lone, *feeds, tmp_path)


def test_a_trial_tells_what_the_cut_net_gives_and_leaves_the_net_alone(model, feeds):
    groups = model.groups.prunable()
    reference = outputs_of(model, feeds[1])
    sampler = model.sampler(feeds[0])
    contexts = [Context(model.groups, group, sampler, np.random.default_rng(0)) for group in groups]
    trials = Trials(model, groups, feeds[1], reference)
    for _ in range(2):
        for group, systems in zip(groups, measure_all(contexts, 30)):
            kept = np.arange(group.size - 2)
            cut = cosine_distance(outputs_of(slim(model, {group.name: kept}), feeds[1]), reference)
            assert trials.loss(group, [], kept) == pytest.approx(cut, rel=1e-4)
            assert 0 < trials.loss(group, systems, kept) < cut


def test_what_readers_make_up_for_is_the_least_squares_solution(model, feeds):
    group = model.groups.of('wide')
    context = Context(model.groups, group, model.sampler(feeds[0]), np.random.default_rng(0))
    ((system,),) = measure_all([context], 30)
    kept = np.arange(0, 16, 2)
    found, stays = without(system, kept), np.append(kept, 16)
    assert not np.delete(found, stays, axis=0).any()
    lone = np.where(np.isin(np.arange(17), stays)[:, None], system.weights, 0)
    products, start = system.products, system.products @ system.weights
    best = lone.copy()
    best[stays] = np.linalg.lstsq(products[np.ix_(stays, stays)], start[stays], rcond=None)[0]
    lost, least, most = (((w - system.weights) * (products @ (w - system.weights))).sum() for w in (found, best, lone))
    assert least <= lost < 1.01 * least and lost < 0.9 * most
