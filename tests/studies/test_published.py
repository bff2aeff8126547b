"""The sources' tables: computed cells agree with the print, and every cell that does not says why."""

import json
import subprocess
import sys
from decimal import Decimal

import pytest
from repository import ROOT
from sphereslim.errors import SlimError
from sphereslim.report.published_table import (
    PublishedCell,
    PublishedTable,
    explain_total,
    note_unequal_prints,
    read_published,
    scaled_like,
)
from sphereslim.studies.published_tables import TABLES


@pytest.fixture(scope='module')
def tables():
    return {name: make(ROOT / 'prototxt', ROOT / 'published') for name, make in TABLES.items()}


def test_every_cell_agrees_or_is_explained(tables):
    for table in tables.values():
        for cell in table.cells:
            assert cell.agrees or cell.note or cell.verdict in ('cut', 'raised'), (table.title, cell)


@pytest.mark.parametrize(
    'table, cells',
    [
        ('sphereface-prune', 9),
        ('vgg16', 13 * 6 + 6 + 2),
        ('webface', 8),
        ('flame-stage1', 14),
        ('flame-stage2', 5),
        ('flame-quantizers', 4),
    ],
)
def test_tables_are_whole(tables, table, cells):
    assert len(tables[table].cells) == cells


def test_parameter_columns_agree_throughout(tables):
    assert all(cell.agrees for cell in tables['sphereface-prune'].cells)


def test_pruned_sphereface_4_has_its_exact_count(tables):
    ours = {cell.row: cell.ours for cell in tables['sphereface-prune'].cells}
    assert ours['SphereFace-4'] == 12_562_496
    assert ours['SphereFace-4 at 0.5'] == 5_894_432


def test_only_totals_of_table_1_differ(tables):
    differing = {(c.row, c.column) for c in tables['vgg16'].cells if c.verdict == 'differs'}
    assert all(row in ('total', 'original / pruned') for row, _ in differing)
    assert ('total', 'flops') not in differing and ('original / pruned', 'flops') not in differing


def test_webface_to_the_digits_known(tables):
    ours = {(cell.row, cell.column): cell.ours for cell in tables['webface'].cells}
    macs = [round(ours[f'Pruned-{rate}', 'flops'] / 1e6, 2) for rate in (90, 75, 50)]
    assert macs == [619.75, 448.07, 216.14]
    params = [round(ours[f'Pruned-{rate}', 'params'] / 1e6, 3) for rate in (90, 75, 50)]
    assert params == [1.534, 1.256, 0.876]


def test_flame_tables_agree_where_the_print_says_enough(tables):
    agree = {(c.row, c.column) for name in ('flame-stage1', 'flame-stage2') for c in tables[name].cells if c.agrees}
    assert {('VGG11_bn', 'flops'), ('flame, 10 bits', 'size, MB'), ('flame+shrink+shallow', 'size, MB')} <= agree
    far = [
        c
        for name in ('flame-stage1', 'flame-stage2')
        for c in tables[name].cells
        if c.column == 'size, MB' and abs(c.difference) > 0.07 * float(c.printed)
    ]
    assert not far


@pytest.mark.parametrize(
    'ours, printed, verdict',
    [
        (12_562_496, '12.6e6', 'agrees'),
        (12_649_999, '12.6e6', 'agrees'),
        (12_650_001, '12.6e6', 'cut'),
        (12_500_001, '12.6e6', 'raised'),
        (12_500_000, '12.6e6', 'differs'),
        (12_700_000, '12.6e6', 'differs'),
        (6.125, '6.13', 'agrees'),
        (0.875, '0.88', 'agrees'),
        (1.884, '1.92', 'differs'),
    ],
)
def test_verdicts(ours, printed, verdict):
    assert PublishedCell('row', 'column', ours, Decimal(printed)).verdict == verdict


@pytest.mark.parametrize(
    'printed, shown',
    [('12.6e6', '12.6 M'), ('0.88e6', '0.88 M'), ('770e6', '770 M'), ('0.86e3', '0.86 K'), ('0.92e9', '0.92 G'),
     ('462.42e6', '462.42 M'), ('0.383', '0.383'), ('109.89', '109.89'), ('1', '1'), ('7', '7')],
)  # fmt: skip
def test_figures_are_shown_as_printed(printed, shown):
    assert scaled_like(Decimal(printed), Decimal(printed)) == shown


def _rows(*values):
    return [PublishedCell(f'row{i}', 'x', float(v), Decimal(v)) for i, v in enumerate(values)]


def test_a_total_that_its_rows_contradict_gets_a_note():
    rows = _rows('1.0', '2.0', '4.0')
    assert explain_total(PublishedCell('total', 'x', 7.0, Decimal('7.0')), rows).note == ''
    short = explain_total(PublishedCell('total', 'x', 7.0, Decimal('5.0')), rows)
    assert 'add up to 7.0' in short.note and 'row1' in short.note
    assert 'row' not in explain_total(PublishedCell('total', 'x', 7.0, Decimal('5.5')), rows).note.replace('rows', '')


def test_one_figure_printed_twice_in_two_ways_gets_a_note():
    cells = [PublishedCell('a', 'x', 2.344, Decimal('2.34')), PublishedCell('b', 'x', 2.344, Decimal('2.35'))]
    note_unequal_prints(cells)
    assert cells[0].note == '' and cells[1].note == 'the same figure is printed as 2.34 for a, x'


def test_table_shows_both_figures_difference_and_notes():
    table = PublishedTable('Title', 'Source', [PublishedCell('a', 'x', 1.14, Decimal('1.3'), note='why')], ['how'])
    for text in (table.as_text(), table.as_markdown()):
        for part in ('Title', 'Source', '1.140', '1.3', '-0.160', 'differs [1]', '[1] a, x: why', 'how'):
            assert part in text
    assert '| a | x |' in table.as_markdown()
    assert table.as_json()['cells'][0]['difference'] == pytest.approx(-0.16)


def test_missing_or_broken_figures_are_named(tmp_path):
    with pytest.raises(SlimError, match='entropy.json: cannot be read'):
        read_published(tmp_path, 'entropy')
    (tmp_path / 'entropy.json').write_text('{')
    with pytest.raises(SlimError, match='entropy.json: is not JSON'):
        read_published(tmp_path, 'entropy')


def _command(*args):
    return subprocess.run([sys.executable, ROOT / 'tools/published_tables.py', *args], capture_output=True, text=True)


def test_command_in_each_form():
    assert _command('webface', '--markdown').stdout.startswith('### Entropy paper, Table 4')
    assert json.loads(_command('webface', '--json').stdout)[0]['cells'][0]['row'] == 'WebFace'
    assert _command('nothing').returncode == 2
