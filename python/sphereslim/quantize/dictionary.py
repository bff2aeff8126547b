"""From positions in a scheme's table of levels to a dictionary of the levels in use and indices into it."""

import numpy as np

from sphereslim.quantize.packing import index_type
from sphereslim.quantize.quantized_net import Dictionary


def build_dictionary(codes, table, bits):
    """Dictionary of the levels that `codes` (a list of arrays) use, and the entry of every code.

    A scheme may use a few levels more than 2^bits: zero, and the largest magnitude of either sign. The most
    frequent 2^bits come first, ascending, for the indices to address; the rest follow, for escapes.
    """
    counts = sum(np.bincount(c, minlength=len(table)) for c in codes)
    used = np.flatnonzero(counts)
    frequent_first = used[np.argsort(-counts[used], kind='stable')]
    order = np.concatenate([np.sort(frequent_first[: 2**bits]), np.sort(frequent_first[2**bits :])])
    entry_of = np.zeros(len(table), np.uint32)
    entry_of[order] = np.arange(len(order), dtype=np.uint32)
    return Dictionary(bits, table[order]), entry_of


def index(codes, entry_of, dictionary):
    """(indices, escapes) of one blob's `codes`; an escaped weight holds index 0."""
    entries = entry_of[codes]
    escapes = {}
    for entry in range(2**dictionary.bits, len(dictionary.values)):
        positions = np.flatnonzero(entries == entry)
        if len(positions):
            escapes[entry] = positions.astype(np.uint32)
            entries[positions] = 0
    return entries.astype(index_type(dictionary.bits)), escapes
