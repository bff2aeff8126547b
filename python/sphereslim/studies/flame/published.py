"""The 1.13 MB model's three tables: sizes and multiply-accumulates from the prototxts, beside the print.

The print says neither what follows the last convolution nor what a megabyte is. Of 10^6 and 2^20 bytes only 10^6 lets
one classifier serve VGG11_bn and depthwise+pointwise: 1.51 M and 1.52 M parameters beyond those of the convolutions.
"""

from pathlib import Path
from typing import Any

from sphereslim.engine import caffe_pb2
from sphereslim.net.costs import measure, total
from sphereslim.net.prototxt import read_net
from sphereslim.net.roles import NETWORK
from sphereslim.report.published_table import PublishedCell, PublishedTable, read_published

NETS = {
    'VGG11_bn': 'vgg11bn',
    'fire': 'vgg11bn/fire',
    'depthwise+pointwise': 'vgg11bn/dwpw',
    'flame': 'vgg11bn/flame',
    'flame+shrink': 'vgg11bn/flame-shrink',
    'flame+shallow': 'vgg11bn/flame-shallow',
    'flame+shrink+shallow': 'vgg11bn/flame-shrink-shallow',
}
CLASSES = 2360
MEGA = 10**6
OTHER_SIZE = 128
NOTES = [
    '1 MB is 10^6 bytes; sizes count batch norm statistics',
    'sizes take the classifier that fits best, as the print does not tell it: 512 -> 512 -> 2360 for VGG11_bn and '
    'depthwise+pointwise, 256 -> 2360 for all fire and flame nets. No single one fits: taken from the printed sizes, '
    'about 1.51, 1.52, 0.65 and 0.62 M parameters are not in the convolutions of VGG11_bn, depthwise+pointwise, fire '
    'and flame. With the two taken here every size of stages 1 and 2 is within 7 % of the print',
    'the networks in prototxt/vgg11bn have the plain 512 -> 2360 (1.21 M parameters)',
]
_NO_HEAD_FITS = 'no common classifier fits all rows; the size depends on it'


def stage1(prototxt: str | Path, published: str | Path) -> PublishedTable:
    """Sizes in MB and multiply-accumulates of the baseline and its six smaller versions."""
    print_ = _figures(published)
    cells = []
    for row in print_['stage1']:
        net, name = _net(prototxt, row['model']), row['model']
        cells.append(
            _explained(PublishedCell(name, 'size, MB', _bytes(net, name) / MEGA, row['size_mb']), _NO_HEAD_FITS)
        )
        macs = total(measure(net)).macs
        cell = PublishedCell(name, 'flops', macs, row['flops_m'].scaleb(6).normalize())
        cells.append(_explained(cell, _at_other_size(net, cell)))
    notes = [
        *NOTES,
        'flops are multiply-accumulates of a 120x120 picture with the classifier of prototxt/vgg11bn; '
        'zeros at the end of a printed figure are not counted as digits',
    ]
    return PublishedTable('1.13 MB model, stage 1: module substitution', print_['source'], cells, notes)


def stage2(prototxt: str | Path, published: str | Path) -> PublishedTable:
    """Sizes in MB after log min-max quantization of the whole network: bits / 32 of the float size."""
    print_ = _figures(published)
    cells = []
    for row in print_['stage2']:
        size = _bytes(_net(prototxt, row['model']), row['model']) / MEGA * int(row['bits']) / 32
        cell = PublishedCell(f'{row["model"]}, {row["bits"]} bits', 'size, MB', size, row['size_mb'])
        cells.append(_explained(cell, _NO_HEAD_FITS))
    return PublishedTable('1.13 MB model, stage 2: log min-max quantization', print_['source'], cells, NOTES)


def quantizers(prototxt: str | Path, published: str | Path) -> PublishedTable:
    """Sizes in MB of VGG11_bn under the four quantizers; 'CNN only' and binarization leave the classifier float."""
    print_ = _figures(published)
    net = _net(prototxt, 'VGG11_bn')
    whole = _bytes(net, 'VGG11_bn') / MEGA
    convolutions = 4 * sum(s.weights for s in measure(net) if s.type == 'Convolution') / MEGA
    cells = []
    for row in print_['quantizers']:
        coded = whole if 'whole' in row['method'] or row['method'] == 'none' else convolutions
        cell = PublishedCell(row['method'], 'size, MB', whole - coded * (32 - int(row['bits'])) / 32, row['size_mb'])
        float_part = (float(row['size_mb']) * 32 - 42.94 * int(row['bits'])) / max(32 - int(row['bits']), 1)
        note = (
            (
                f'the print leaves {float_part:.2f} MB as float32, less than any classifier of {CLASSES} people and '
                '512 features: part of it must have been quantized too'
            )
            if coded is convolutions
            else _NO_HEAD_FITS
        )
        cells.append(_explained(cell, note))
    return PublishedTable('1.13 MB model: quantizers of VGG11_bn', print_['source'], cells, NOTES)


def _figures(published: str | Path) -> dict[str, Any]:
    return read_published(published, 'flame')


def _net(prototxt: str | Path, model: str) -> caffe_pb2.NetParameter:
    return read_net(Path(prototxt) / NETS[model] / 'deploy.prototxt')


def _bytes(net: caffe_pb2.NetParameter, model: str) -> int:
    """Bytes of the network part and of the classifier read into the print."""
    narrow = model.startswith(('fire', 'flame'))
    head = (256 + 1) * CLASSES if narrow else (512 + 1) * 512 + (512 + 1) * CLASSES
    return total(measure(net), NETWORK).model_bytes + 4 * head


def _at_other_size(net: caffe_pb2.NetParameter, cell: PublishedCell) -> str:
    """What the figure would be for 128x128 pictures, from which 120x120 crops are taken."""
    macs = total(measure(net, (1, 3, OTHER_SIZE, OTHER_SIZE))).macs
    other = f'a {OTHER_SIZE}x{OTHER_SIZE} picture takes {macs / MEGA:.1f} M'
    fits = abs(macs - float(cell.printed)) < abs(cell.difference)
    return f'{other}, which is closer' if fits else f'{other}, which is no closer; the print cannot be explained'


def _explained(cell: PublishedCell, note: str) -> PublishedCell:
    """The cell with a note where it does not agree."""
    cell.note = '' if cell.agrees else note
    return cell
