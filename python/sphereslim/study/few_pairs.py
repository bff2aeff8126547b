"""A shorter pairs file: the first folds, and of each the first pairs."""

from pathlib import Path

from sphereslim.errors import SlimError
from sphereslim.files import read_text, write_bytes


def write_few(source, path, folds=2, count=100):
    """Write `folds` folds of `count` matched and as many mismatched pairs from the pairs file `source` to `path`."""
    lines = read_text(source, 'a list of pairs').splitlines()
    header = [int(word) for word in lines[0].split()]
    whole_folds, whole_count = header if len(header) == 2 else (1, header[0])
    if not 1 < folds <= whole_folds or not 0 < count <= whole_count:
        raise SlimError(f'{source}: {whole_folds} folds of 2 x {whole_count} pairs, cannot take {folds} of 2 x {count}')
    starts = [1 + half * whole_count for half in range(2 * folds)]
    chosen = [line for start in starts for line in lines[start:start + count]]
    write_bytes(Path(path), '\n'.join([f'{folds}\t{count}', *chosen, '']).encode())
    return Path(path)
