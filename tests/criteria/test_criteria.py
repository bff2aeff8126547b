"""Selection criteria against brute force on small random nets."""

from itertools import combinations

import benchmark_selection
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking import randomize
from scipy.stats import entropy as scipy_entropy
from sphereslim.channels.groups import Groups
from sphereslim.criteria import CRITERIA, greedy_pair, lasso, obs, thinet
from sphereslim.criteria.context import combine
from sphereslim.criteria.criterion import highest
from sphereslim.errors import SlimError
from sphereslim.net.opened import open_net
from sphereslim.net.prototxt import parse_net
from sphereslim.pruning.selection import choose, kept_count, measure, select
from sphereslim.sampling.least_squares import Reservoir
from sphereslim.sampling.sampler import Sampler

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [4, 2, 6, 6] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "prelu" type: "PReLU" bottom: "conv" top: "conv" }
layer { name: "next" type: "Convolution" bottom: "conv" top: "next"
        convolution_param { num_output: 5 kernel_size: [3] stride: 2 pad: 1 } }
layer { name: "fc" type: "InnerProduct" bottom: "next" top: "fc" inner_product_param { num_output: 6 } }
"""


def sampled(seed=0, batches=3, text=NET):
    rng = np.random.default_rng(seed)
    proto = parse_net(text)
    net = open_net(proto, backward=True)
    randomize(net, rng)
    feed = [{'data': rng.normal(0, 1, (4, 2, 6, 6)).astype('f')} for _ in range(batches)]
    return Groups(proto), Sampler(net, feed), feed


def activations(sampler, feed, blob, last):
    """All pictures' values of a blob after the forward of layer number `last`."""
    found = []
    for batch in feed:
        sampler.net.blobs['data'].data[...] = batch['data']
        sampler.net._forward(0, last)
        found.append(np.array(sampler.net.blobs[blob].data, np.float64))
    return np.concatenate(found)


@pytest.mark.parametrize('name', CRITERIA)
def test_every_criterion_keeps_the_wanted_number_and_repeats(name):
    groups, sampler, _ = sampled()
    first, second = (select(groups, 'conv', name, sampler, 0.5, seed=3) for _ in range(2))
    assert len(first.kept) == 4 and sorted([*first.kept, *first.removed]) == list(range(8))
    np.testing.assert_array_equal(first.kept, second.kept)
    np.testing.assert_allclose(first.scores, second.scores)
    assert len(first.scores) == 8 and CRITERIA[name].source


@pytest.mark.parametrize('name', CRITERIA)
def test_one_measurement_serves_every_rate(name):
    groups, sampler, _ = sampled()
    evidence = measure(groups, 'conv', name, sampler)
    assert [len(choose(groups, 'conv', name, evidence, rate).kept) for rate in (1, 0.75, 0.25)] == [8, 6, 2]


def test_a_number_that_is_allocated_is_kept_to_where_channels_leave_in_pairs():
    groups, sampler, _ = sampled()
    evidence = measure(groups, 'conv', 'greedy_pair', sampler)
    kept = [choose(groups, 'conv', 'greedy_pair', evidence, 5 / 8, exact=exact).kept for exact in (False, True)]
    assert [len(indices) for indices in kept] == [6, 5] and set(kept[1]) < set(kept[0])


def all_pairs(sums, keep):
    left = list(range(len(sums)))
    while len(left) - keep > 1:
        i, j = min(combinations(left, 2), key=lambda pair: (abs(sums[pair[0]] + sums[pair[1]]), pair))
        left = [k for k in left if k not in (i, j)]
    if len(left) > keep:
        left.remove(min(left, key=lambda k: abs(sums[k])))
    return left


@given(
    st.data(),
    st.one_of(
        st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=24),
        st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=24),
    ),
)
def test_greedy_pairs_equal_brute_force_ties_included(data, sums):
    keep = data.draw(st.integers(1, len(sums)))
    assert greedy_pair.choose(sums, keep)[0].tolist() == all_pairs(np.array(sums), keep)


def test_greedy_pairs_equal_brute_force_beyond_the_first_look():
    sums = np.abs(np.random.default_rng(0).normal(size=96))
    assert greedy_pair.choose(sums, 2)[0].tolist() == all_pairs(sums, 2)


def test_greedy_pair_sums_the_blob_behind_its_in_place_prelu():
    groups, sampler, feed = sampled()
    expected = activations(sampler, feed, 'conv', 2).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(measure(groups, 'conv', 'greedy_pair', sampler), expected, rtol=1e-5)
    assert not np.allclose(expected, activations(sampler, feed, 'conv', 1).sum(axis=(0, 2, 3)), rtol=0.1)


def test_entropy_is_that_of_the_histogram_of_means():
    groups, sampler, feed = sampled(batches=6)
    means = activations(sampler, feed, 'conv', 2).mean(axis=(2, 3))
    expected = [scipy_entropy(np.histogram(column, 5)[0]) for column in means.T]
    np.testing.assert_allclose(measure(groups, 'conv', 'entropy', sampler, bins=5), expected, atol=1e-9)


@pytest.mark.parametrize('neuron', ['PReLU', 'ReLU'])
def test_apoz_counts_silent_activations(neuron):
    groups, sampler, feed = sampled(text=NET.replace('PReLU', neuron))
    expected = (activations(sampler, feed, 'conv', 2) > 0).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(measure(groups, 'conv', 'apoz', sampler), expected)


def test_no_layer_outweighs_another():
    assert combine([np.array([1.0, 2.0])]).tolist() == [1, 2]
    np.testing.assert_allclose(combine([np.array([3.0, 4.0]), np.array([0.0, 2e6]), np.zeros(2)]), [0.6, 1.8])


SHARED = """
layer { name: "one" type: "Input" top: "one" input_param { shape { dim: [4, 1, 12, 12] } } }
layer { name: "two" type: "Input" top: "two" input_param { shape { dim: [4, 1, 12, 12] } } }
layer { name: "conv" type: "Convolution" bottom: "one" bottom: "two" top: "a" top: "b"
        convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "other" type: "ReLU" bottom: "b" top: "b" }
layer { name: "next" type: "Convolution" bottom: "a" bottom: "b" top: "c" top: "d"
        convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "msra" } } }
"""


@pytest.mark.parametrize('alive', [[0, 1, 2, 3], [4, 5, 6, 7]])
@pytest.mark.parametrize('name', ['apoz', 'entropy', 'greedy_pair', 'lasso', 'obs', 'taylor', 'thinet'])
@pytest.mark.parametrize('place', ['one', 'two'])
def test_channels_count_that_only_one_bottom_of_a_convolution_brings_to_life(name, alive, place):
    proto = parse_net(SHARED)
    net, rng = open_net(proto, backward=True), np.random.default_rng(0)
    net.params['conv'][0].data[alive] = rng.uniform(0.1, 1, (4, 1, 3, 3))
    feed = [{'one': np.zeros((4, 1, 12, 12), 'f'), 'two': np.zeros((4, 1, 12, 12), 'f')}]
    feed[0][place][...] = rng.uniform(0.5, 1, feed[0][place].shape)
    assert select(Groups(proto), 'conv', name, Sampler(net, feed), 0.5).kept.tolist() == alive


def test_norms_and_distances_of_filters():
    groups, sampler, _ = sampled()
    rows = np.array(sampler.net.params['conv'][0].data, np.float64).reshape(8, -1)
    np.testing.assert_allclose(measure(groups, 'conv', 'l1', sampler), np.abs(rows).sum(axis=1))
    np.testing.assert_allclose(measure(groups, 'conv', 'l2', sampler), np.sqrt((rows**2).sum(axis=1)))
    expected = [sum(np.linalg.norm(a - b) for b in rows) for a in rows]
    np.testing.assert_allclose(measure(groups, 'conv', 'fpgm', sampler), expected)


def test_taylor_predicts_what_scaling_a_channel_does_to_the_objective():
    groups, sampler, feed = sampled(batches=1)
    scores = measure(groups, 'conv', 'taylor', sampler)
    net, step = sampler.net, 1e-2

    def objective(channel, factor):
        net.blobs['data'].data[...] = feed[0]['data']
        net._forward(0, 2)
        net.blobs['conv'].data[:, channel] *= factor
        net._forward(3, 4)
        return (np.array(net.blobs['fc'].data, np.float64) ** 2).sum(axis=1) / 2

    expected = [np.abs((objective(c, 1 + step) - objective(c, 1 - step)) / (2 * step)).mean() / 36 for c in range(8)]
    np.testing.assert_allclose(scores, expected, rtol=1e-2)


def contributions_of(sampler, feed, filters):
    """z (samples × channels) at every place of outputs `filters` of layer `next`, by masking all but one channel."""
    net, parts = sampler.net, []
    whole = activations(sampler, feed, 'next', 3)
    bias = np.array(net.params['next'][1].data)[:, None, None]
    for channel in range(8):
        found = []
        for batch in feed:
            net.blobs['data'].data[...] = batch['data']
            net._forward(0, 2)
            net.blobs['conv'].data[:, np.arange(8) != channel] = 0
            net._forward(3, 3)
            found.append(np.array(net.blobs['next'].data, np.float64) - bias)
        parts.append(np.concatenate(found)[:, filters].ravel())
    parts = np.stack(parts, axis=1)
    np.testing.assert_allclose(parts.sum(axis=1), (whole - bias)[:, filters].ravel(), atol=1e-5)
    return parts


@pytest.mark.parametrize('group', [1, 2])
def test_contributions_are_what_masking_all_other_channels_leaves(group):
    grouped = NET.replace('num_output: 5', f'num_output: 6 group: {group}')
    groups, sampler, feed = sampled(batches=8, text=grouped)
    z = contributions_of(sampler, feed, range(6)).reshape(-1, group, 8 // group).sum(axis=1)
    gram = measure(groups, 'conv', 'thinet', sampler, places=400)['next']
    np.testing.assert_allclose(gram, z.T @ z / (z.sum(axis=1) ** 2).sum(), atol=0.05)


@pytest.mark.parametrize('seed', range(5))
def test_thinet_is_the_greedy_search_over_removed_sets(seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 10)) + 0.1 * rng.normal(size=(50, 10))
    kept, _ = thinet.choose({'next': z.T @ z}, 6)
    removed = []
    for _ in range(4):
        left = [c for c in range(10) if c not in removed]
        removed.append(min(left, key=lambda c: (z[:, [*removed, c]].sum(axis=1) ** 2).sum()))
    assert kept.tolist() == sorted(set(range(10)) - set(removed))


def test_lasso_meets_the_optimality_conditions():
    rng = np.random.default_rng(2)
    z = rng.normal(size=(200, 12)) * np.linspace(0.2, 2, 12)
    gram, target = z.T @ z, (z.T @ z).sum(axis=1)
    penalty = 0.3 * target.max()
    beta = lasso.shrink(gram, target, penalty, np.ones(12))
    slope = target - gram @ beta
    assert 0 < np.count_nonzero(beta) < 12
    np.testing.assert_allclose(slope[beta != 0], penalty * np.sign(beta[beta != 0]), rtol=1e-4)
    assert np.all(np.abs(slope[beta == 0]) <= penalty * (1 + 1e-9))
    assert lasso.choose({'next': gram}, 4)[0].tolist() == [8, 9, 10, 11]


def test_lasso_drops_channels_that_cancel_each_other():
    a, b = np.random.default_rng(0).normal(size=(2, 100))
    z = np.column_stack([3 * a, -3 * a, b])
    assert lasso.choose({'next': z.T @ z}, 1)[0].tolist() == [2]


def test_lasso_keeps_no_silent_channel():
    z = np.random.default_rng(0).normal(size=(100, 4))
    z = np.column_stack([z, np.zeros(100)])
    assert 4 not in lasso.choose({'next': z.T @ z}, 4)[0]


def test_highest_keeps_the_first_of_equals():
    assert highest([1, 2, 2, 2, 0], 2)[0].tolist() == [1, 2]


def test_reservoir_is_bounded_and_uniform():
    counts = np.zeros(40)
    for seed in range(400):
        reservoir = Reservoir(10, np.random.default_rng(seed))
        for start in range(0, 40, 8):
            reservoir.add(np.arange(start, start + 8)[:, None])
        assert reservoir.rows().shape == (10, 1)
        counts[reservoir.rows()[:, 0]] += 1
    assert np.abs(counts - 100).max() < 45  # over five standard deviations of a count


def test_batches_are_taken_one_by_one_with_progress():
    groups, sampler, feed = sampled()
    taken, shown = [], []

    def stream():
        for batch in feed:
            taken.append(len(taken))
            yield batch

    def progress(batches):
        for batch in batches:
            shown.append(len(taken))
            yield batch

    select(groups, 'conv', 'greedy_pair', Sampler(sampler.net, stream, batches=2, progress=progress), 0.5)
    assert taken == [0, 1] and shown == [1, 2]


@pytest.mark.parametrize(
    'size, rate, pairs, multiple, kept',
    [
        (64, 0.5, False, 1, 32),
        (96, 0.9, False, 1, 86),
        (100, 0.29, False, 1, 29),
        (64, 0.9, True, 1, 58),
        (512, 0.75, True, 1, 384),
        (64, 0.01, False, 1, 1),
        (2, 0.1, True, 1, 2),
        (64, 0.3, False, 8, 24),
        (12, 0.9, False, 8, 12),
    ],
)
def test_kept_counts(size, rate, pairs, multiple, kept):
    assert kept_count(size, rate, pairs, multiple) == kept


def refused(*arguments, **options):
    groups, sampler, _ = sampled()
    with pytest.raises(SlimError) as error:
        select(groups, *arguments[:2], sampler, *arguments[2:], **options)
    return str(error.value)


def test_bad_requests_get_one_line():
    assert refused('conv', 'l3', 0.5).startswith("no criterion 'l3', expected one of: apoz, entropy, fpgm, greedy_pair")
    assert refused('conv', 'l1', 0) == 'rate 0: expected the share of channels to keep, above 0 and at most 1'
    assert refused('conv', 'l1', 0.5, bins=3) == "criterion 'l1' has no option 'bins', expected one of: none"
    assert refused('conv', 'entropy', 0.5, bins=1) == 'bins 1: expected at least 2 bins in the histogram'
    assert refused('fc', 'l1', 0.5).startswith("layer 'fc' cannot be pruned: blob 'fc' is an output of the net")


def test_taylor_says_when_nothing_flows_back():
    groups, sampler, feed = sampled()
    with pytest.raises(SlimError, match='no gradient reaches the layer'):
        select(groups, 'conv', 'taylor', Sampler(open_net(parse_net(NET)), feed), 0.5)


def test_the_benchmark_compares_with_the_same_selection(capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['benchmark_selection.py', '--channels', '40', '--repeats', '1'])
    assert benchmark_selection.main() == 0
    assert '20 kept' in capsys.readouterr().out


def refitted_error(system, kept):
    """The least Σ |y|² of the error with the units `kept`, the inputs of unit -1 free."""
    inside = np.flatnonzero(np.isin(system.units, [*kept, -1]))
    root = np.linalg.cholesky(system.products).T
    wanted = root @ system.weights
    found = np.linalg.lstsq(root[:, inside], wanted, rcond=None)[0]
    return ((wanted - root[:, inside] @ found) ** 2).sum()


def test_obs_is_the_greedy_search_with_a_refit_at_every_step():
    rng = np.random.default_rng(0)
    units = np.array([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 5, -1])
    mixed = rng.normal(size=(80, 14)) @ rng.normal(size=(14, 14))
    systems = [
        obs.System(x.T @ x, rng.normal(size=(x.shape[1], 3)), own, 6)
        for x, own in ((mixed, units), (mixed[:, :6], units[:6]))
    ]
    whole = [refitted_error(system, []) for system in systems]
    left = list(range(6))
    for _ in range(3):
        left = min(
            ([u for u in left if u != out] for out in left),
            key=lambda kept: sum(refitted_error(s, kept) / all_ for s, all_ in zip(systems, whole)),
        )
    assert obs.choose(systems, 3)[0].tolist() == left


SLICED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [4, 2, 6, 6] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "slice" type: "Slice" bottom: "conv" top: "read" top: "unread" slice_param { slice_point: 5 } }
layer { name: "silence" type: "Silence" bottom: "unread" }
layer { name: "next" type: "Convolution" bottom: "read" top: "next"
        convolution_param { num_output: 4 kernel_size: 1 } }
"""


@pytest.mark.parametrize('name', CRITERIA)
def test_as_many_channels_stay_as_asked_where_some_are_read_by_none(name):
    groups, sampler, _ = sampled(text=SLICED)
    for rate, count in ((0.25, 2), (0.5, 4), (0.75, 6)):
        selection = select(groups, 'conv', name, sampler, rate)
        assert (len(selection.kept), len(selection.scores)) == (count, 8)


def test_obs_takes_a_large_reader_by_its_contributions(monkeypatch):
    groups, sampler, _ = sampled()
    assert [len(system.units) for system in measure(groups, 'conv', 'obs', sampler)] == [8 * 9 + 1]
    monkeypatch.setattr(obs, 'LARGEST_SYSTEM', 10)
    assert [len(system.units) for system in measure(groups, 'conv', 'obs', sampler)] == [8]
