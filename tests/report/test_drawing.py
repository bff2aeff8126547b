"""Every figure can be read: no text of it leaves it or lies over another, and no two lines look alike."""

from math import exp
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from drawn import texts, unreadable
from matplotlib.figure import Figure
from repository import ROOT
from sphereslim.criteria import CRITERIA
from sphereslim.evaluation.roc import plot_roc, roc
from sphereslim.logs.compare.compare import judge, pair, read_source
from sphereslim.logs.compare.plots import draw_log, draw_pairs
from sphereslim.logs.parser import parse_log
from sphereslim.pruning import sensitivity_plot
from sphereslim.pruning.sensitivity import Row
from sphereslim.quantization import sweep
from sphereslim.report.drawing import colours, panels, write_beside
from sphereslim.studies import entropy, prune_figures, sphereface_prune
from sphereslim.studies.flame import report as flame_report
from sphereslim.studies.one_shot import page
from sphereslim.studies.pipeline_report.figures import channels, figures
from sphereslim.studies.pipeline_report.published import printed_for
from sphereslim.studies.sphereface_plus import report as sphereface_plus_report

LAYERS = ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1')
ENTRIES = ('vgg11bn', 'fire', 'dwpw', 'flame', 'flame-shrink', 'flame-shallow', 'flame-shrink-shallow', 'distilled')
SCHEMES = ('log', 'linear', 'linear-filter')


def written(write, *words):
    """The figure that a function saves."""
    saved, save = [], Figure.savefig

    def note(figure, *where, **how):
        saved.append(figure)
        save(figure, *where, **how)

    with patch.object(Figure, 'savefig', note):
        write(*words)
    return saved[-1]


def result(percent, error=1.5):
    return {'accuracy': percent, 'error': error}


def pipeline_report():
    """A default run as it ends: the first three stages hardly differ in size, the last two not at all."""
    sizes, times = (12.56, 12.52, 12.36, 11.69, 5.89, 5.89), (1, 1.18, 1.5, 2.05, 2.87, 2.89)
    names = ('00-base', *(f'{number:02d}-{layer}' for number, layer in enumerate(LAYERS, 1)), '05-last-round')
    after, before = (94.8, 94.2, 93.7, 93.5, 91.7, 91.7), (None, 93.3, 92.7, 93.0, 91.8, 91.7)
    rng = np.random.default_rng(0)
    rows = [
        {
            'stage': name,
            'parameters': size * 1e6,
            'speed_ratio': ratio,
            'before': cut and result(cut),
            'after': result(end),
        }
        for name, size, ratio, cut, end in zip(names, sizes, times, before, after)
    ]
    curves = {
        name: {
            'loss': [[i, (0.02 if number else 6) * exp(-i / 300) * rng.uniform(0.3, 1.7)] for i in range(0, 651, 10)],
            'lambda': [[i, max(5, 1000 / (1 + 0.12 * i))] for i in range(0, 651, 10)],
        }
        for number, name in enumerate(names)
    }
    selections = [selection(layer, 'greedy_pair') for layer in LAYERS]
    return {
        'rows': rows,
        'curves': curves,
        'selections': selections,
        'published': printed_for(ROOT / 'published', 'sphereface-4'),
    }


def selection(layer, criterion):
    rng = np.random.default_rng(len(layer))
    scores = (rng.normal(size=64) * 1e5).tolist()
    return {'layer': layer, 'criterion': criterion, 'scores': scores, 'kept': list(range(0, 64, 2))}


@pytest.mark.parametrize('number', range(12))
def test_figures_of_a_run(number):
    found = [figure for group in figures(pipeline_report()).values() for figure in group]
    assert len(found) == 12 and not unreadable(found[number].draw())


def test_the_numbers_of_all_stages_are_written():
    for figure in figures(pipeline_report())['Accuracy against size and time']:
        numbers = [text for text, _ in texts(figure.draw()) if text.startswith('0')]
        assert sorted(' '.join(numbers).split()) == ['00', '01', '02', '03', '04', '05']


@pytest.mark.parametrize('criterion, told', [('greedy_pair', True), ('obs', False)])
def test_the_bars_of_pairs_say_how_they_leave(criterion, told):
    figure = channels(selection('conv1_1', criterion))
    assert not unreadable(figure) and any('in pairs' in text for text, _ in texts(figure)) == told


def sweep_rows():
    return [
        {
            'scheme': scheme,
            'layers': only,
            'scope': 'layer',
            'bits': bits,
            'bytes': int(157e3 * bits * (1 if only == 'all' else 1.1)),
            'value': 90 * (1 - exp(-(bits - 2.5 + place))),
        }
        for place, scheme in enumerate(SCHEMES)
        for only in ('all', 'conv')
        for bits in range(4, 13)
    ]


@pytest.mark.parametrize('logarithmic', [False, True])
def test_a_sweep(tmp_path, logarithmic):
    figure = written(
        sweep.plot, sweep_rows(), (5_000_000, 90.0), 'accuracy on 6000 pairs, %', tmp_path / 's.png', logarithmic
    )
    assert not unreadable(figure)
    assert {str(bits) for bits in range(4, 13)} <= {text for text, _ in texts(figure)}


@pytest.mark.parametrize('count', [4, 55])
def test_a_sensitivity_table_of_few_and_many_groups(tmp_path, count):
    rows = [Row('', 1.0, 0, 0, 1, 1, 0.0)] + [
        Row(f'res{number}_conv_expand/dw', rate, 64, round(64 * rate), 1, 1, number * (1 - rate) / 50)
        for number in range(count)
        for rate in (0.25, 0.5, 0.75)
    ]
    subject = {'loss': '1 - cosine of outputs', 'criterion': 'obs'}
    assert not unreadable(written(sensitivity_plot.draw, tmp_path / 's.png', rows, subject))


def test_a_receiver_operating_characteristic(tmp_path):
    rng = np.random.default_rng(0)
    same = np.arange(600) < 300
    far, tar = roc(rng.normal(size=600) + 2 * same, same)
    title = f'{"a_long_name_of_a_snapshot_of_some_net_" * 4}iter_28000.caffemodel: 98.23 %'
    assert not unreadable(written(plot_roc, tmp_path / 'roc.png', far, tar, title))


def one_shot_results():
    results = {'original': {'macs': 221e6, 'all': result(99.4), 'few': result(99.5)}}
    for place, criterion in enumerate(CRITERIA):
        for share in (0.8, 0.7, 0.5):
            for refitted in (False, True):
                percent = 60 + 38 * share * refitted - place
                results[f'{criterion}-{share}-{refitted}'] = {
                    'criterion': criterion,
                    'refitted': refitted,
                    'uniform': False,
                    'macs': 221e6 * share,
                    'few': result(percent),
                }
    for share in (0.8, 0.7, 0.5):
        results[f'headline-{share}'] = {'macs': 221e6 * share, 'all': result(90 + 9 * share)}
        results[f'distilled-{share}'] = {'macs': 221e6 * share, 'all': result(95 + 4 * share)}
    return results


def test_no_two_criteria_of_a_study_have_one_colour():
    figure = page.figure(one_shot_results(), 'study').draw()
    assert not unreadable(figure)
    shades = [line.get_color() for line in figure.axes[0].lines if line.get_label() in CRITERIA]
    assert len(set(shades)) == len(shades) == len(CRITERIA)


def test_as_many_colours_as_are_asked_for_differ():
    for count in (1, 2, 10, 11, 60):
        assert len(set(colours(count))) == count


def test_figures_of_flame():
    sweeps = {variant: [row for row in sweep_rows() if row['layers'] == 'all'] for variant in ENTRIES[:5]}
    results = {
        name: {'bytes': int(2e6 * 1.05**place), 'accuracy': 50 + 0.2 * place} for place, name in enumerate(ENTRIES)
    }
    for figure in (flame_report._draw_sizes(results), flame_report._draw_bits(results, sweeps)):
        assert not unreadable(figure)
        assert all(any(variant in text for text, _ in texts(figure)) for variant in ENTRIES[:5])


def test_figures_of_the_other_studies():
    layers = ('conv11', 'conv31', 'conv42')
    rows = [
        {'layer': layer, 'criterion': criterion, 'before': [80.0, 82.0], 'after': [88.0, 89.0]}
        for layer in layers
        for criterion in ('entropy', 'random')
    ]
    assert not unreadable(entropy.layers_figure(rows).draw())
    rows = [
        {'net': f'sphereface-{depth}', 'trained_parameters': 1e6 * depth * rate, 'accuracy': 90 + rate, 'error': 0.7}
        for depth in (4, 10, 20)
        for rate in (1.0, 0.75, 0.5)
    ]
    assert not unreadable(sphereface_prune.comparison_figure(rows).draw())
    run = {
        'curves': {
            'loss': [[i, 70 - i / 30] for i in range(0, 60, 5)],
            'inter-class distance': [[i, 64.001 - i / 1e5] for i in range(0, 60, 5)],
        },
        'centres': [[i, 90.001 + i / 1e4, 60 + i / 10] for i in range(0, 61, 20)],
    }
    margin = {'name': 'm4', 'alpha': 100, 'batch': 32, 'released': 2, 'with': [run] * 3, 'without': [run] * 3}
    assert not [name for figure in sphereface_plus_report._figures(margin) for name in unreadable(figure.draw())]


def test_the_course_of_a_deep_net(monkeypatch):
    names = ['00-base', *(f'{number:02d}-conv{number // 3}_{number}' for number in range(1, 19)), '19-last-round']
    plan = SimpleNamespace(stages=lambda: [SimpleNamespace(name=name) for name in names])
    monkeypatch.setattr(prune_figures, 'accuracy_of', lambda stage, moment='after': result(90.0))
    assert not unreadable(prune_figures._draw_course(None, [(None, 0.75, plan), (None, 0.5, plan)]))


def log(path, loss):
    """A log of caffe train."""
    lines = [
        f'I0102 10:00:{i // 20:02d}.500000 7 solver.cpp:218] Iteration {i}, loss = {loss * exp(-i / 300)}'
        for i in range(0, 1000, 10)
    ]
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(lines))
    return path


def test_compared_logs(tmp_path):
    names = ('00-base', *(f'{number:02d}-{layer}' for number, layer in enumerate(LAYERS, 1)), '05-last-round')
    for place, name in enumerate(names):
        log(tmp_path / 'work' / 'sphereface-4' / name / 'train.log', 1 + place)
    published = read_source(ROOT / 'published/curves/sphereface4_per_layer_loss.csv')
    ours = read_source(tmp_path / 'work' / 'sphereface-4')
    judged = [judge(*both, 0.05, (), 12) for both in pair(published, ours)]
    assert len(judged) > 3 and not unreadable(draw_pairs('loss', judged))
    path = tmp_path / 'work' / 'sphereface-4' / '00-base' / 'train.log'
    assert not unreadable(draw_log(parse_log(path), f'{"a long folder/" * 9}train.log'))


def test_texts_stand_inside_beside_each_other_and_not_on_points():
    figure, axes = panels((4, 3))
    points = [(1 + 0.01 * (place % 3), 2 + 0.01 * (place // 3), f'point {place}') for place in range(6)]
    axes.plot([1, 3], [2, 4], alpha=0)
    axes.plot(*zip(*[point[:2] for point in points]), 'o')
    write_beside(axes, points)
    notes = [(text, box) for text, box in texts(figure) if text.startswith('point')]
    assert len(notes) == 6 and not unreadable(figure)
    for _, box in notes:
        assert axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max)
        assert not [point for point in points if box.contains(*axes.transData.transform(point[:2]))]
