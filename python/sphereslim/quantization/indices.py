"""Indices into a dictionary of levels: making them, packing them into bits, coding them.

Packed, `count` indices of 1 to 17 `bits` take exactly ceil(count * bits / 8) bytes, without gaps: the full low bytes of
all indices come first, one plane per byte, then the remaining high bits as one little-endian bit stream (index 0 in the
lowest bits of the first byte).

Coded, they go through the standard library's entropy coders. Bit-packed indices straddle bytes, which hides their
statistics from a byte coder, so the coders see one plane of bytes per eight bits of index.
"""

import lzma
import zlib
from collections.abc import Sequence

import numpy as np

from sphereslim.errors import SlimError
from sphereslim.quantization.quantized_net import Dictionary

PACKED, ZLIB, LZMA = range(3)
CODINGS = {'none': PACKED, 'zlib': ZLIB, 'lzma': LZMA}

# Weights have next to no repetition, so contexts of earlier bytes (lc, lp, pb) only dilute the counts.
_LZMA = [{'id': lzma.FILTER_LZMA2, 'preset': 6, 'lc': 0, 'lp': 0, 'pb': 0}]


def build_dictionary(codes: Sequence[np.ndarray], table: np.ndarray, bits: int) -> tuple[Dictionary, np.ndarray]:
    """Dictionary of the levels that `codes` (a list of arrays) use, and the entry of every code.

    A scheme may use a few levels more than 2^bits: zero, and the largest magnitude of either sign. The most
    frequent 2^bits come first, ascending, for the indices to address; the rest follow, for escapes.
    """
    counts = np.sum([np.bincount(c, minlength=len(table)) for c in codes], axis=0)
    used = np.flatnonzero(counts)
    frequent_first = used[np.argsort(-counts[used], kind='stable')]
    order = np.concatenate([np.sort(frequent_first[: 2**bits]), np.sort(frequent_first[2**bits :])])
    entry_of = np.zeros(len(table), np.uint32)
    entry_of[order] = np.arange(len(order), dtype=np.uint32)
    return Dictionary(bits, table[order]), entry_of


def index(codes: np.ndarray, entry_of: np.ndarray, dictionary: Dictionary) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """(indices, escapes) of one blob's `codes`; an escaped weight holds index 0."""
    entries = entry_of[codes]
    escapes = {}
    for entry in range(2**dictionary.bits, len(dictionary.values)):
        positions = np.flatnonzero(entries == entry)
        if len(positions):
            escapes[entry] = positions.astype(np.uint32)
            entries[positions] = 0
    return entries.astype(index_type(dictionary.bits)), escapes


def index_type(bits: int) -> np.dtype:
    """The smallest unsigned numpy type that holds an index of `bits` bits."""
    return np.dtype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` indices of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(indices: np.ndarray, bits: int) -> bytes:
    """Flat unsigned `indices` below 2^bits -> bytes."""
    indices = np.ascontiguousarray(indices, dtype=index_type(bits))
    whole, rest = divmod(bits, 8)
    columns = _byte_columns(indices)
    planes = [np.ascontiguousarray(columns[:, i]).tobytes() for i in range(whole)]
    if rest:
        planes.append(_pack_stream(columns[:, whole], rest))
    return b''.join(planes)


def unpack(data: bytes, count: int, bits: int) -> np.ndarray:
    """The `count` indices of `bits` bits in `data`; raises SlimError when its length does not fit."""
    if len(data) != packed_size(count, bits):
        raise SlimError(
            f'{len(data)} bytes of indices, expected {packed_size(count, bits)} for {count} indices of {bits} bits'
        )
    whole, rest = divmod(bits, 8)
    indices = np.zeros(count, index_type(bits))
    columns = _byte_columns(indices)
    for i in range(whole):
        columns[:, i] = np.frombuffer(data, np.uint8, count, offset=i * count)
    if rest:
        columns[:, whole] = _unpack_stream(np.frombuffer(data, np.uint8, offset=whole * count), count, rest)
    return indices


def _byte_columns(indices: np.ndarray) -> np.ndarray:
    """The indices' bytes as a (count, bytes) view, lowest byte first on any machine."""
    size = indices.dtype.itemsize
    columns = indices.view(np.uint8).reshape(-1, size)
    return columns if np.little_endian else columns[:, ::-1]


def _pack_stream(values: np.ndarray, bits: int) -> bytes:
    """Eight values of `bits` bits fill one word, whose low `bits` bytes are kept."""
    if bits == 1:
        return np.packbits(values, bitorder='little').tobytes()
    groups = -(-len(values) // 8)
    padded = np.zeros((groups, 8), np.uint8)
    padded.reshape(-1)[: len(values)] = values
    words = np.zeros(groups, '<u8')
    for i in range(8):
        words |= padded[:, i].astype('<u8') << np.uint64(i * bits)
    return words.view(np.uint8).reshape(groups, 8)[:, :bits].tobytes()[: packed_size(len(values), bits)]


def _unpack_stream(data: np.ndarray, count: int, bits: int) -> np.ndarray:
    if bits == 1:
        return np.unpackbits(data, count=count, bitorder='little')
    groups = -(-count // 8)
    padded = np.zeros(groups * bits, np.uint8)
    padded[: len(data)] = data
    octets = np.zeros((groups, 8), np.uint8)
    octets[:, :bits] = padded.reshape(groups, bits)
    words = octets.view('<u8').reshape(groups)
    values = np.empty((groups, 8), np.uint8)
    for i in range(8):
        values[:, i] = (words >> np.uint64(i * bits)) & np.uint64(2**bits - 1)
    return values.reshape(-1)[:count]


def encode(indices: np.ndarray, bits: int, wanted: int) -> tuple[int, bytes]:
    """(coding, bytes): coded as `wanted`, or bit-packed when that is not smaller."""
    packed = pack(indices, bits)
    if wanted == PACKED:
        return PACKED, packed
    coded = (_deflate if wanted == ZLIB else _lzma)(_planes(indices, bits))
    return (wanted, coded) if len(coded) < len(packed) else (PACKED, packed)


def decode(coding: int, data: bytes, count: int, bits: int) -> np.ndarray:
    """The `count` indices in `data`; raises SlimError."""
    if coding == PACKED:
        return unpack(data, count, bits)
    try:
        planes = zlib.decompress(data, -15) if coding == ZLIB else lzma.decompress(data, lzma.FORMAT_RAW, filters=_LZMA)
    except (zlib.error, lzma.LZMAError) as error:
        raise SlimError(f'entropy-coded indices cannot be read ({error})') from None
    width = (bits + 7) // 8
    if len(planes) != count * width:
        raise SlimError(f'{len(planes)} bytes of index planes, expected {count * width}')
    indices = np.zeros(count, index_type(bits))
    for i, plane in enumerate(np.frombuffer(planes, np.uint8).reshape(width, count)):
        indices |= plane.astype(indices.dtype) << np.array(8 * i, indices.dtype)
    return indices


def _planes(indices: np.ndarray, bits: int) -> bytes:
    return b''.join(
        (indices >> np.array(8 * i, indices.dtype)).astype(np.uint8).tobytes() for i in range((bits + 7) // 8)
    )


def _deflate(planes: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(planes) + coder.flush()


def _lzma(planes: bytes) -> bytes:
    return lzma.compress(planes, lzma.FORMAT_RAW, filters=_LZMA)
