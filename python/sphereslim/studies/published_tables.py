"""The analytic cells of the sources' tables, computed from the prototxts and held against the print.

A table is a function (folder of networks, folder of published figures) -> PublishedTable; `TABLES` names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from math import prod
from pathlib import Path

from sphereslim.channels.groups import Groups
from sphereslim.channels.surgery import prune_prototxt
from sphereslim.engine import caffe_pb2
from sphereslim.net.costs import LayerStats, measure, total
from sphereslim.net.prototxt import read_net
from sphereslim.pruning.selection import kept_count
from sphereslim.report.published_table import (
    PublishedCell,
    PublishedTable,
    explain_total,
    note_unequal_prints,
    read_published,
)
from sphereslim.studies.flame import published as flame

MEBI = 2**20
_VGG_COLUMNS = ('params', 'params_pruned', 'flops', 'flops_pruned', 'activation_mb', 'activation_mb_pruned')


def sphereface_prune(prototxt: Path, published: Path) -> PublishedTable:
    """Parameters without the classifier: base networks, MobileNets, and pruned at the printed rates."""
    print_ = read_published(published, 'sphereface_prune')
    cells = []
    for row in print_['base_models'] + print_['comparison']:
        name, rate = row['net'], row.get('rate')
        net = _deploy(prototxt, name.lower())
        if rate is not None:
            net = _pruned(net, print_['prune_layers'][name], float(rate), pairs=True)
        label = name if rate is None else f'{name} at {float(rate):g}'
        cells.append(PublishedCell(label, 'params', total(measure(net), 'network').parameters, row['params']))
    return PublishedTable('Sphereface-Prune: parameters without fc6', print_['source'], _unique(cells))


def vgg16(prototxt: Path, published: Path) -> PublishedTable:
    """Table 1 of the entropy paper: every convolution of VGG-16 before and after, the totals and the ratios."""
    print_ = read_published(published, 'entropy')
    net = _deploy(prototxt, 'vgg16')
    pruned = _pruned(net, _between(net, print_['pruned_layers']), 0.5)
    stats = measure(net), measure(pruned)
    ours = _convolution_rows(*stats)
    cells = []
    for name, *values in print_['table1']['rows']:
        cells += [PublishedCell(name, column, *pair) for column, *pair in zip(_VGG_COLUMNS, ours[name], values)]
    note_unequal_prints(cells)
    for index, (column, value) in enumerate(zip(_VGG_COLUMNS, print_['table1']['total'])):
        rows = [cell for cell in cells if cell.column == column and cell.row != 'total']
        whole = _all_outputs(stats[index % 2]) if 'activation' in column else sum(row.ours for row in rows)
        cells.append(explain_total(PublishedCell('total', column, whole, value), rows))
    cells += _ratios(cells, print_['table3'][1])
    notes = [
        'params count weights without biases; flops are multiply-accumulates; 1 MB is 2^20 bytes',
        'the activation total counts the output of every layer, those of ReLU, pooling and the picture included: the '
        'reading closest to the print, which does not say what is in it',
    ]
    return PublishedTable('Entropy paper, Table 1: VGG-16 pruned at 0.5', print_['source'], cells, notes)


def webface(prototxt: Path, published: Path) -> PublishedTable:
    """Table 4 of the entropy paper: the WebFace net and its three pruned versions."""
    print_ = read_published(published, 'entropy')
    net = _deploy(prototxt, 'webface')
    layers = _between(net, print_['webface_pruned_layers'])
    cells = []
    for row in print_['table4']:
        kept = re.search(r'Pruned-(\d+)', row['model'])
        slim = _pruned(net, layers, int(kept[1]) / 100) if kept else net
        sums = total(measure(slim), 'network')
        cells.append(PublishedCell(row['model'], 'flops', sums.macs, row['flops']))
        cells.append(PublishedCell(row['model'], 'params', sums.weights, row['params']))
    notes = ['params count weights without biases and classifier; kept filters are rounded down']
    return PublishedTable('Entropy paper, Table 4: WebFace net', print_['source'], cells, notes)


TABLES = {
    'sphereface-prune': sphereface_prune,
    'vgg16': vgg16,
    'webface': webface,
    'flame-stage1': flame.stage1,
    'flame-stage2': flame.stage2,
    'flame-quantizers': flame.quantizers,
}


def _deploy(prototxt: Path, name: str) -> caffe_pb2.NetParameter:
    return read_net(Path(prototxt) / name / 'deploy.prototxt')


def _pruned(
    net: caffe_pb2.NetParameter, layers: Iterable[str], rate: float, pairs: bool = False
) -> caffe_pb2.NetParameter:
    """The net with as many filters in the named layers as `rate` keeps; costs do not depend on which."""
    groups = Groups(net)
    kept = {name: range(kept_count(groups.of(name).size, rate, pairs)) for name in layers}
    return prune_prototxt([net], kept, groups)[0]


def _between(net: caffe_pb2.NetParameter, text: str) -> list[str]:
    """The convolutions from the first to the last that a text such as 'conv1_1 to conv4_3 …' names."""
    first, last = re.findall(r'^(\w+) to (\w+)', text)[0]
    names = [layer.name for layer in net.layer if layer.type == 'Convolution']
    return names[names.index(first) : names.index(last) + 1]


def _convolution_rows(whole: Sequence[LayerStats], pruned: Sequence[LayerStats]) -> dict[str, tuple[float, ...]]:
    """{convolution: (params, pruned, MACs, pruned, MB, pruned)} from the stats of both nets."""
    pairs = [(a, b) for a, b in zip(whole, pruned) if a.type == 'Convolution']
    return {
        a.name: (a.weights, b.weights, a.macs, b.macs, a.activation_bytes / MEBI, b.activation_bytes / MEBI)
        for a, b in pairs
    }


def _all_outputs(stats: Sequence[LayerStats]) -> float:
    """Megabytes of every layer's first output, as if none worked in place."""
    return sum(4 * prod(s.shape) for s in stats) / MEBI


def _ratios(cells: Sequence[PublishedCell], printed: Mapping[str, Decimal]) -> list[PublishedCell]:
    """The compression of parameters and of MACs by our totals, noting what the print's totals give."""
    totals = {cell.column: cell for cell in cells if cell.row == 'total'}
    result = []
    for column, key in (('params', 'compression_x'), ('flops', 'flops_x')):
        before, after = totals[column], totals[f'{column}_pruned']
        cell = PublishedCell('original / pruned', column, before.ours / after.ours, printed[key])
        if not cell.agrees:
            cell.note = f'the printed totals give {before.printed / after.printed:.3f}; see the note on the total'
        result.append(cell)
    return result


def _unique(cells: Iterable[PublishedCell]) -> list[PublishedCell]:
    """Cells without repetitions: two tables of a source may print the same figure."""
    return list({(cell.row, cell.column, cell.printed): cell for cell in cells}.values())
