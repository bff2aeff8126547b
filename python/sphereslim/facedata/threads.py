"""Work on many pictures in threads, under a bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def in_threads(job: Callable[[Item], Result], items: Sequence[Item], progress: Progress) -> Iterator[Result]:
    """job(item) of each, in order, wrapped by `progress(results, total)`. Whatever ends it leaves the rest undone."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from progress(pool.map(job, items), len(items))
        finally:
            pool.shutdown(cancel_futures=True)
