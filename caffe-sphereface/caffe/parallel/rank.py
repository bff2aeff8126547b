"""Which part of the data this process reads when several train together."""

from caffe.errors import CaffeError
from caffe.process_state import state


def set_shard(rank: int, count: int) -> None:
    """From now on training data layers of this process read items `rank`, `rank + count`, … of their source."""
    if not 0 <= rank < count:
        raise CaffeError(f'shard {rank} of {count}: expected a rank from 0 to one below the count')
    state.rank, state.count = int(rank), int(count)


def shard() -> tuple[int, int]:
    """(rank, count) of this process."""
    return state.rank, state.count


def is_root() -> bool:
    """True for the process that tests, displays and writes snapshots for all."""
    return state.rank == 0
