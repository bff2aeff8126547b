"""What is done with messages of any kind."""


def copy_of(message):
    """An independent copy of a message."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
