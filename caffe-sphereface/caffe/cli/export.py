"""`caffe export`: a net for inference in another format."""

import caffe
from caffe import log
from caffe.errors import CaffeError
from caffe.export.onnx_file import export_onnx


def export(flags):
    """Write the net and weights that `flags` name to the file -onnx."""
    for name in ('model', 'onnx'):
        if not getattr(flags, name):
            raise CaffeError(f'-{name} is missing (see caffe --help)')
    net = caffe.Net(flags.model, caffe.TEST, level=flags.level, stages=[s for s in flags.stage.split(',') if s])
    for path in filter(None, flags.weights.split(',')):
        net.copy_from(path)
    export_onnx(net, flags.onnx, flags.any_batch)
    log.info('export.py', f'Wrote {flags.onnx}: inputs {", ".join(net.inputs)}; outputs {", ".join(net.outputs)}')
