"""The argument that names a page of the documentation for a study's tables."""

from __future__ import annotations

import argparse


def add_doc(parser: argparse.ArgumentParser) -> None:
    """Add --doc, a Markdown file or None."""
    parser.add_argument(
        '--doc', help='Markdown file that gets the tables; their figures go into a folder of its name as JSON'
    )
