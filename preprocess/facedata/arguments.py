"""Types of command line values that several commands take."""

import argparse


def positive(text):
    """A whole number of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text}, expected at least 1')
    return int(text)
