"""What each part of a .qcaffemodel takes, as rows and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sphereslim.quantization import qcaffemodel_pb2 as pb
from sphereslim.quantization.file import read_network
from sphereslim.report.text_tables import text_table


@dataclass(frozen=True)
class BlobRow:
    """One blob: `bits` per weight (32 for float32, 16 for float16), `entries` of its dictionary, `data` bytes on disk
    of its indices, scales, escapes or floats, and the relative `error`."""

    layer: str
    blob: int
    shape: tuple[int, ...]
    count: int
    bits: int
    dictionary: int
    entries: int
    coding: str
    data: int
    error: float


class Sizes(NamedTuple):
    """Bytes of a file by use; `file` is their sum."""

    indices: int
    scales: int
    escapes: int
    floats: int
    dictionaries: int
    deploy: int
    framing: int
    file: int


def blob_rows(network: pb.Network) -> list[BlobRow]:
    """A BlobRow per blob of a Network message."""
    return [
        _row(network, layer.name, number, blob) for layer in network.layer for number, blob in enumerate(layer.blob)
    ]


def blob_bytes(blob: pb.Blob) -> int:
    """What the numbers of a Blob message take: indices, scales, escapes or floats."""
    fields = (blob.indices, blob.scales, blob.half_scales, blob.floats, blob.halves)
    return sum(map(len, fields)) + sum(len(escape.positions) for escape in blob.escape)


def sizes(network: pb.Network, file_bytes: int) -> Sizes:
    """Sizes of a Network message that came from a file of `file_bytes` bytes."""
    blobs = [blob for layer in network.layer for blob in layer.blob]
    parts = [
        sum(len(b.indices) for b in blobs),
        sum(len(b.scales) + len(b.half_scales) for b in blobs),
        sum(len(e.positions) for b in blobs for e in b.escape),
        sum(len(b.floats) + len(b.halves) for b in blobs),
        sum(len(d.values) for d in network.dictionary),
        len(network.deploy),
    ]
    return Sizes._make([*parts, file_bytes - sum(parts), file_bytes])


def inspect_text(path: str | Path) -> str:
    """The table and the totals of a file, as lines of text; raises SlimError."""
    network = read_network(path)
    total = sizes(network, Path(path).stat().st_size)
    rows = blob_rows(network)
    weights = sum(row.count for row in rows)
    lines = [f'{path}: net "{network.name}", scheme {network.scheme}, scope {network.scope}', '']
    lines += [
        _table(rows),
        '',
        ', '.join(f'{name} {value}' for name, value in zip(total._fields[:-1], total[:-1])),
        f'{total.file} bytes for {weights} weights, {8 * total.file / max(weights, 1):.3f} bits per weight, '
        f'{4 * weights / total.file:.2f} times smaller than float32',
    ]
    return '\n'.join(lines)


def _row(network: pb.Network, layer: str, number: int, blob: pb.Blob) -> BlobRow:
    count = math.prod(blob.dim)
    dictionary = network.dictionary[blob.dictionary - 1] if blob.dictionary else None
    plain = 16 if blob.halves else 32
    return BlobRow(
        layer,
        number,
        tuple(blob.dim),
        count,
        dictionary.bits if dictionary else plain,
        blob.dictionary,
        len(dictionary.values) // 4 if dictionary else 0,
        pb.Coding.Name(blob.coding).lower() if dictionary else f'float{plain}',
        blob_bytes(blob),
        blob.error,
    )


def _table(rows: Sequence[BlobRow]) -> str:
    head = ('layer', 'blob', 'shape', 'weights', 'bits', 'dictionary', 'entries', 'coding', 'bytes', 'error')
    cells = [
        (
            row.layer,
            row.blob,
            'x'.join(map(str, row.shape)),
            row.count,
            row.bits,
            row.dictionary or '-',
            row.entries or '-',
            row.coding,
            row.data,
            f'{row.error:.5f}',
        )
        for row in rows
    ]
    return text_table(head, cells, left=3)
