#!/usr/bin/env python
"""How fast indices are packed and unpacked, against numpy.packbits on the same machine in the same run."""

import argparse
import sys
import time

import numpy as np
from sphereslim.quantization.indices import index_type, pack, unpack


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--weights', type=int, default=10_000_000, help='indices to pack (default 10 million)')
    parser.add_argument('--bits', type=int, nargs='+', default=[1, 2, 4, 5, 6, 8, 10, 12, 16], help='widths to measure')
    parser.add_argument('--repeats', type=int, default=3, help='the best of this many runs counts (default 3)')
    options = parser.parse_args()
    if not all(1 <= bits <= 17 for bits in options.bits) or options.weights < 1 or options.repeats < 1:
        sys.exit('benchmark_packing: expected bits from 1 to 17 and at least one weight and repeat')
    print(f'{options.weights} indices; M/s: million indices per second; peer: numpy.packbits / unpackbits')
    print(
        f'{"bits":>4} {"pack s":>8} {"M/s":>7} {"peer s":>8} {"ratio":>6}   '
        f'{"unpack s":>8} {"M/s":>7} {"peer s":>8} {"ratio":>6}'
    )
    for bits in options.bits:
        print(measure(options.weights, bits, options.repeats), flush=True)


def measure(count, bits, repeats):
    """One line of the table; raises AssertionError when either side does not give the indices back."""
    indices = np.random.default_rng(bits).integers(0, 2**bits, count).astype(index_type(bits))
    ours, theirs = pack(indices, bits), peer_pack(indices, bits)
    assert (unpack(ours, count, bits) == indices).all() and (peer_unpack(theirs, count, bits) == indices).all()
    assert len(ours) == len(theirs)
    packing = [seconds(repeats, pack, indices, bits), seconds(repeats, peer_pack, indices, bits)]
    unpacking = [seconds(repeats, unpack, ours, count, bits), seconds(repeats, peer_unpack, theirs, count, bits)]
    return f'{bits:4d} {columns(count, *packing)}   {columns(count, *unpacking)}'


def columns(count, ours, peer):
    return f'{ours:8.4f} {count / ours / 1e6:7.0f} {peer:8.4f} {peer / ours:6.1f}'


def seconds(repeats, function, *arguments):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def peer_pack(indices, bits):
    """The same number of bytes by way of one byte per bit."""
    columns = (indices[:, None] >> np.arange(bits, dtype=indices.dtype)).astype(np.uint8) & 1
    return np.packbits(columns, bitorder='little').tobytes()


def peer_unpack(data, count, bits):
    columns = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits, bitorder='little').reshape(count, bits)
    weights = np.left_shift(1, np.arange(bits)).astype(index_type(bits))
    return columns @ weights


if __name__ == '__main__':
    main()
