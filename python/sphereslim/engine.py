"""Which Caffe the workflow runs on: the project's own, or the genuine build that CAFFE_ROOT names."""

import os
import sys
from pathlib import Path


def caffe_root():
    """The folder that CAFFE_ROOT names, or None when it is unset or empty."""
    root = os.environ.get('CAFFE_ROOT')
    return Path(root) if root else None


def caffe_command():
    """The `caffe` command as a list of words: that of CAFFE_ROOT when set, else this interpreter's own."""
    root = caffe_root()
    return [str(root / 'build' / 'tools' / 'caffe')] if root else [sys.executable, '-m', 'caffe']


def _use(root):
    """Put a genuine build first on the path; ends the program with one line where there is none to import."""
    for path, what in ((root / 'python' / 'caffe', 'folder'), (root / 'build' / 'tools' / 'caffe', 'command')):
        if not path.exists():
            sys.exit(
                f'error: CAFFE_ROOT={root}: no {what} {path.relative_to(root)} there, expected the root of a '
                'built Caffe with pycaffe'
            )
    folder = (root / 'python').resolve()
    sys.path.insert(0, str(folder))
    try:
        from caffe.proto import caffe_pb2

        if not Path(caffe_pb2.__file__).is_relative_to(folder):
            raise ImportError(f'caffe.proto.caffe_pb2 is not in it but in {caffe_pb2.__file__}')
    except (ImportError, TypeError) as error:  # TypeError: descriptors of an old protoc under a new protobuf
        sys.exit(
            f'error: CAFFE_ROOT={root}: its pycaffe cannot be imported by {sys.executable} '
            f'({str(error).splitlines()[0]}); docs/genuine-caffe.md says what it needs'
        )


# A Caffe that is loaded already is the one that runs: this is a Python layer of its nets.
if caffe_root() and 'caffe' not in sys.modules:
    _use(caffe_root())

# every net logs its construction at level info, hundreds of lines among a command's own
os.environ.setdefault('GLOG_minloglevel', '1')

import caffe  # noqa: E402  (the path above decides which one)
from caffe.proto import caffe_pb2  # noqa: E402

__all__ = ['caffe', 'caffe_command', 'caffe_pb2', 'caffe_root']
