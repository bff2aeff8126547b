"""The error of this package."""


class QuantizeError(ValueError):
    """Bad input; the message is one line that names the file or layer and says what was expected."""
