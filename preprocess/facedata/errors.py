"""The exception for input that the face data library cannot use."""


class FaceDataError(ValueError):
    """Bad input to the face data library; the message is the one line to show to the user."""
