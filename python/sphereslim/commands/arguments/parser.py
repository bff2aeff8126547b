"""The parser of a command, made of what its file says of itself."""

import argparse


def command_parser(doc):
    """An ArgumentParser whose help is the first paragraph of `doc`, the arguments, and the other paragraphs."""
    start, end = doc.split('\n\n', 1)
    return argparse.ArgumentParser(description=start, epilog=end)
