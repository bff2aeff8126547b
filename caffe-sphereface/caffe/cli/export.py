"""`caffe export` and `caffe import-torch`: nets to other programs, weights from others.

They print a line on what they wrote. What nets log while they are made is shown with -minloglevel 0.
"""

import argparse

import caffe
from caffe import log
from caffe.cli.flags import named_stages, named_weights, need
from caffe.errors import CaffeError
from caffe.export.ncnn.files import export_ncnn
from caffe.export.onnx_file import export_onnx
from caffe.net.state_dict import import_state_dict


@log.warnings_only()
def export(flags: argparse.Namespace) -> None:
    """Write the net and weights that `flags` name to the file -onnx, the files -ncnn or all of them."""
    if not (flags.onnx or flags.ncnn):
        raise CaffeError('-onnx and -ncnn are missing, expected one of them at least (see caffe --help)')
    if flags.calibration and not flags.ncnn:
        raise CaffeError('-calibration goes with -ncnn (sphereslim calibrate writes int8 ONNX itself)')
    net = _net(flags)
    for path in named_weights(flags):
        net.copy_from(path)
    ends = f'inputs {", ".join(net.inputs)}; outputs {", ".join(net.outputs)}'
    if flags.onnx:
        export_onnx(net, flags.onnx, flags.any_batch)
        print(f'{flags.onnx}: {ends}')
    if flags.ncnn:
        print(f'{", ".join(export_ncnn(net, flags.ncnn, flags.calibration))}: {ends}')


@log.warnings_only()
def import_torch(flags: argparse.Namespace) -> None:
    """Write the net -model with the values of the state_dict -torch as the caffemodel -out."""
    net = _net(flags, 'torch', 'map', 'out')
    import_state_dict(net, flags.torch, flags.map)
    net.save(flags.out)
    print(f'{flags.out}: {len(net.params)} layers with parameters')


def _net(flags: argparse.Namespace, *needed: str) -> caffe.Net:
    need(flags, 'model', *needed)
    return caffe.Net(flags.model, caffe.TEST, level=flags.level, stages=named_stages(flags))
