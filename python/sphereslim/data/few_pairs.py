"""A shorter pairs file: the first folds, and of each the first pairs."""

from pathlib import Path

from sphereslim.data.pairs import pair_lines
from sphereslim.errors import SlimError
from sphereslim.files import write_bytes


def write_few(source, path, folds=2, count=100):
    """Write `folds` folds of `count` matched and as many mismatched pairs from the pairs file `source` to `path`."""
    whole_folds, whole_count, lines = pair_lines(source)
    if not 1 < folds <= whole_folds or not 0 < count <= whole_count:
        raise SlimError(f'{source}: {whole_folds} folds of 2 x {whole_count} pairs, cannot take {folds} of 2 x {count}')
    starts = [half * whole_count for half in range(2 * folds)]
    chosen = ['\t'.join(words) for start in starts for _, words in lines[start : start + count]]
    write_bytes(Path(path), '\n'.join([f'{folds}\t{count}', *chosen, '']).encode())
    return Path(path)
