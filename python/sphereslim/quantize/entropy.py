"""Entropy coding of indices with the standard library's coders.

Bit-packed indices straddle bytes, which hides their statistics from a byte coder, so coders see one plane of
bytes per eight bits of index.
"""

import lzma
import zlib

import numpy as np

from sphereslim.errors import SlimError
from sphereslim.quantize.packing import index_type, pack, unpack

PACKED, ZLIB, LZMA = range(3)
CODINGS = {'none': PACKED, 'zlib': ZLIB, 'lzma': LZMA}

# Weights have next to no repetition, so contexts of earlier bytes (lc, lp, pb) only dilute the counts.
_LZMA = [{'id': lzma.FILTER_LZMA2, 'preset': 6, 'lc': 0, 'lp': 0, 'pb': 0}]


def encode(indices, bits, wanted):
    """(coding, bytes): coded as `wanted`, or bit-packed when that is not smaller."""
    packed = pack(indices, bits)
    if wanted == PACKED:
        return PACKED, packed
    coded = (_deflate if wanted == ZLIB else _lzma)(_planes(indices, bits))
    return (wanted, coded) if len(coded) < len(packed) else (PACKED, packed)


def decode(coding, data, count, bits):
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


def _planes(indices, bits):
    return b''.join(
        (indices >> np.array(8 * i, indices.dtype)).astype(np.uint8).tobytes() for i in range((bits + 7) // 8)
    )


def _deflate(planes):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(planes) + coder.flush()


def _lzma(planes):
    return lzma.compress(planes, lzma.FORMAT_RAW, filters=_LZMA)
