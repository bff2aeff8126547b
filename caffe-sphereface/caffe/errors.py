"""The one exception every bad input ends in."""


class CaffeError(RuntimeError):
    """A file, a network or a request that cannot be used.

    The message is a single line that names the file and the layer and says what was expected.
    """
