"""The words that start a command again, as reports show them."""

import os
import shlex
import sys
from pathlib import Path


def command_line() -> str:
    """The command that is running, with the Caffe that CAFFE_ROOT names."""
    program = Path(sys.argv[0])
    words = ['sphereslim'] if program.stem in ('sphereslim', '__main__') else ['python', str(program)]
    root = os.environ.get('CAFFE_ROOT')
    return shlex.join([*([f'CAFFE_ROOT={root}'] if root else []), *words, *sys.argv[1:]])
