"""The dialects of Caffe: forks that added fields to the schema, each under numbers of its own.

In text the names decide, whatever the fork. In binary files a number means what the fork says that wrote it: 147 is a
margin, a Swish, a pooling of regions or a center loss. `read_net` and `net_to_bytes` translate binary nets, and
`set_dialect` chooses the numbers of the caffemodels that are written.
"""

from caffe.process_state import state
from caffe.proto.dialects.binary import net_to_bytes, read_net
from caffe.proto.dialects.schema import OURS, check_name, names

__all__ = ['OURS', 'dialect', 'names', 'net_to_bytes', 'read_net', 'set_dialect']


def set_dialect(name: str) -> None:
    """Write caffemodels with the numbers of this dialect from here on; CaffeError where there is none of that name."""
    check_name(name)
    state.dialect = name


def dialect() -> str:
    """The dialect that caffemodels are written in."""
    return state.dialect
