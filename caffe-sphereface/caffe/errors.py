"""The one exception every bad input ends in."""


class CaffeError(RuntimeError):
    """A file, a network or a request that cannot be used.

    The message is a single line that names the file and the layer and says what was expected.
    """

    def __init__(self, message: object = '') -> None:
        # names out of damaged files may hold line ends and terminal codes
        super().__init__(''.join(c if c.isprintable() else repr(c)[1:-1] for c in str(message)))


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 120 characters of it."""
    return (str(error).splitlines() or [''])[0][:120]


def reason(error: BaseException) -> str:
    """The text of an error of the system, of lmdb or of plyvel (which states bytes)."""
    text = getattr(error, 'strerror', None) or (error.args[0] if error.args else error)
    return text.decode(errors='replace') if isinstance(text, bytes) else str(text)
