"""The one exception every request that cannot be met ends in."""


class SlimError(Exception):
    """A file, a network or a request that the workflow cannot use.

    The message is a single line that names the file or the layer and says what was expected.
    """
