"""Nets of 2013 and 2014, whose prototxt has `layers` with types as an enum, brought to the present form.

So are convolutions of C3D's fork, which are BVLC's over three axes, and Gather of TSN's. The Caffe in use does it, as
it does when it loads such a net: the project's own in this process, a genuine build by `upgrade_net_proto_text`.
"""

from __future__ import annotations

import subprocess
import tempfile
from importlib import import_module
from pathlib import Path

from google.protobuf import text_format

from sphereslim.engine import caffe_pb2, caffe_root
from sphereslim.errors import SlimError
from sphereslim.files import read_bytes, write_bytes
from sphereslim.net.text import to_text


def is_old(net: caffe_pb2.NetParameter) -> bool:
    """Whether a net has `layers`, C3D's convolutions or TSN's Gather."""
    return bool(net.layers) or any(layer.type in ('Convolution3D', 'Deconvolution3D', 'Gather') for layer in net.layer)


def upgraded(net: caffe_pb2.NetParameter, path: str | Path) -> caffe_pb2.NetParameter:
    """The net in the present form; SlimError where it is wrong, naming the file `path` it is from."""
    root = caffe_root()
    if root:
        return _by_tool(net, path, root / 'build' / 'tools' / 'upgrade_net_proto_text')
    try:
        return import_module('caffe.proto.upgrade').upgrade_net(net, str(path))
    except RuntimeError as error:
        raise SlimError(str(error)) from None


def _by_tool(net: caffe_pb2.NetParameter, path: str | Path, tool: Path) -> caffe_pb2.NetParameter:
    if not tool.is_file():
        raise SlimError(f'{path}: old form with `layers`, expected `layer`; {tool}, which upgrades it, is not there')
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder, 'old.prototxt'), Path(folder, 'new.prototxt')
        write_bytes(old, to_text(net).encode())
        done = subprocess.run([tool, old, new], capture_output=True, text=True)
        if done.returncode or not new.is_file():
            last = next(iter(reversed(done.stderr.strip().splitlines())), 'no output')
            raise SlimError(f'{path}: old form with `layers`, {tool.name} failed: {last}')
        return text_format.Parse(read_bytes(new).decode(), caffe_pb2.NetParameter())
