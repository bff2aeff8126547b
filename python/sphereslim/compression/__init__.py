"""One network made smaller from end to end: folded, pruned, distilled, quantized, exported, measured."""
