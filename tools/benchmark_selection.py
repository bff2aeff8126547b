#!/usr/bin/env python
"""Greedy pair selection against searching all pairs anew for every removal, in one run: times and their ratio."""

import argparse
import sys
import time

import numpy as np
from sphereslim.criteria.greedy_pair import choose


def search_all_pairs(sums, keep):
    """The indices that stay when every removal looks at all remaining pairs: O(n³) steps."""
    left = list(range(len(sums)))
    while len(left) - keep > 1:
        _, i, j = min((abs(sums[i] + sums[j]), i, j) for a, i in enumerate(left) for j in left[a + 1 :])
        left.remove(i)
        left.remove(j)
    return left


def seconds(function, *arguments):
    """(result, wall time) of a call."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--channels', type=int, default=512, help='channels of the layer (default 512)')
    parser.add_argument('--rate', type=float, default=0.5, help='share that is kept (default 0.5)')
    parser.add_argument('--repeats', type=int, default=10, help='runs of the fast selection; the median counts')
    parser.add_argument('--seed', type=int, default=0, help='of the made-up sums')
    args = parser.parse_args()
    sums = np.random.default_rng(args.seed).normal(0, 1e4, args.channels)
    keep = args.channels - 2 * int(args.channels * (1 - args.rate) / 2)
    fast = [seconds(choose, sums, keep) for _ in range(args.repeats)]
    median = float(np.median([took for _, took in fast]))
    slow, took = seconds(search_all_pairs, sums.tolist(), keep)
    same = fast[0][0][0].tolist() == slow
    print(
        f'{args.channels} channels, {keep} kept: {median * 1e3:.1f} ms against {took:.1f} s by searching all pairs, '
        f'ratio {took / median:.0f}x, {"same" if same else "DIFFERENT"} selection'
    )
    return 0 if same else 1


if __name__ == '__main__':
    sys.exit(main())
