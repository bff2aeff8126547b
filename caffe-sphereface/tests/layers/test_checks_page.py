"""docs/checks.md against the layers it speaks of."""

import re
from pathlib import Path

import pytest

from caffe.layers import layer_types
from caffe.layers.support.registry import layer_class

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'checks.md'
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason='needs docs/checks.md of the whole repository')


def rows(title):
    """The cells of the table under a heading, without its head."""
    section = PAGE.read_text().split(f'## {title}\n')[1].split('\n## ')[0]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in section.splitlines() if line[:1] == '|'][
        2:
    ]


def test_the_page_tells_which_layers_run_in_place():
    told = {name: answer == 'yes' for answer, names, _ in rows('In place') for name in names.split(', ')}
    told.pop('all others')
    classes = {name: layer_class(name) for name in layer_types()}
    own = {name for name, kind in classes.items() if kind.__module__.startswith('caffe.')}  # the workflow adds others
    assert {name for name in told if told[name]} == {name for name in own if classes[name].in_place}
    assert {name for name in told if not told[name]} <= set(layer_types())


def test_every_layer_on_the_page_exists():
    names = {name for row in rows('Layers') for name in re.split(', ', row[0])}
    assert names - {'a loss with two tops', 'fillers'} <= set(layer_types())
