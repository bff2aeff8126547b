"""Indices of 1 to 17 bits, packed without gaps.

Layout: the full low bytes of all indices come first, one plane per byte, then the remaining high bits as one
little-endian bit stream (index 0 in the lowest bits of the first byte). `count` indices of `bits` bits take
exactly ceil(count * bits / 8) bytes.
"""

import numpy as np

from sphereslim.errors import SlimError


def index_type(bits):
    """The smallest unsigned numpy type that holds an index of `bits` bits."""
    return np.dtype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)


def packed_size(count, bits):
    """Bytes that `count` indices of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(indices, bits):
    """Flat unsigned `indices` below 2^bits -> bytes."""
    indices = np.ascontiguousarray(indices, dtype=index_type(bits))
    whole, rest = divmod(bits, 8)
    columns = _byte_columns(indices)
    planes = [np.ascontiguousarray(columns[:, i]).tobytes() for i in range(whole)]
    if rest:
        planes.append(_pack_stream(columns[:, whole], rest))
    return b''.join(planes)


def unpack(data, count, bits):
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


def _byte_columns(indices):
    """The indices' bytes as a (count, bytes) view, lowest byte first on any machine."""
    size = indices.dtype.itemsize
    columns = indices.view(np.uint8).reshape(-1, size)
    return columns if np.little_endian else columns[:, ::-1]


def _pack_stream(values, bits):
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


def _unpack_stream(data, count, bits):
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
