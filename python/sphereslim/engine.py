"""Which Caffe the workflow runs on: the project's own, or the genuine build that CAFFE_ROOT names."""

import os
import sys
from pathlib import Path


def _genuine_root():
    root = os.environ.get('CAFFE_ROOT')
    if not root:
        return None
    if not (Path(root) / 'python' / 'caffe').is_dir():
        raise SystemExit(f'CAFFE_ROOT={root}: no python/caffe folder there, expected the root of a Caffe build')
    return Path(root)


def caffe_command():
    """The `caffe` command as a list of words: that of CAFFE_ROOT when set, else this interpreter's own."""
    root = _genuine_root()
    return [str(root / 'build' / 'tools' / 'caffe')] if root else [sys.executable, '-m', 'caffe']


if _genuine_root():
    sys.path.insert(0, str(_genuine_root() / 'python'))

import caffe  # noqa: E402  (the path above decides which one)
from caffe.proto import caffe_pb2  # noqa: E402

__all__ = ['caffe', 'caffe_command', 'caffe_pb2']
