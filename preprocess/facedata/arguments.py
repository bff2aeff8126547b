"""The parser of a command, and types of values that several commands take."""

import argparse


def command_parser(doc):
    """An ArgumentParser whose help is the first paragraph of `doc`, the arguments, and the other paragraphs."""
    start, end = doc.split('\n\n', 1)
    return argparse.ArgumentParser(description=start, epilog=end)


def positive(text):
    """A whole number of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text}, expected at least 1')
    return int(text)
