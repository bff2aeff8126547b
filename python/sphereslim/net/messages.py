"""What is done with messages of any kind."""

from typing import TypeVar

from google.protobuf.message import Message

M = TypeVar('M', bound=Message)


def copy_of(message: M) -> M:
    """An independent copy of a message."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
