"""Choosing picture files to measure on: a random sample, without the people that a verification uses."""

from pathlib import Path

import numpy as np

from sphereslim.data.pairs import people_of
from sphereslim.data.pictures import list_images
from sphereslim.errors import SlimError


def sample_pictures(source, counts, seed=0, not_in=None):
    """A tuple of paths for each of `counts`, no picture in two of them, drawn from a folder or a list file.

    The people of the pairs file `not_in` (folders of that name) stay out. SlimError where there are too few pictures.
    """
    paths = shuffled_pictures(source, seed, not_in)
    if len(paths) < len(counts):
        raise SlimError(f'{source}: {len(paths)} pictures to choose from, expected at least {len(counts)}')
    # where there are fewer than asked for, each sample shrinks by the same share, down to one
    share = min(1.0, len(paths) / sum(counts))
    sizes = [max(1, int(count * share)) for count in counts]
    while sum(sizes) > len(paths):
        sizes[np.argmax(sizes)] -= 1
    ends = np.cumsum([0, *sizes])
    return [tuple(paths[start:end]) for start, end in zip(ends, ends[1:])]


def shuffled_pictures(source, seed=0, not_in=None):
    """All paths of a folder or a list file in random order, without the people of the pairs file `not_in`."""
    paths = list_images(source)
    if not_in:
        used = people_of(not_in)
        paths = [path for path in paths if Path(path).parent.name not in used]
    return [paths[i] for i in np.random.default_rng(seed).permutation(len(paths))]
