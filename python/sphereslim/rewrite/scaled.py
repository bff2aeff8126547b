"""A network folder at a share of its width and at another picture size, for runs that have to be quick."""

from __future__ import annotations

from pathlib import Path

from sphereslim.engine import caffe_pb2
from sphereslim.net.engine_check import check_engine
from sphereslim.net.messages import copy_of
from sphereslim.net.prototxt import read_net, read_solver, write_prototxt
from sphereslim.rewrite.shrink import shrink_alike


def scaled_folder(source: str | Path, target: str | Path, width: float = 1.0, size: int | None = None) -> Path:
    """The folder to train from: `source` itself, or `target` with its net at `width` and for square pictures of `size`.

    `width` is the share of filters that every convolution has, but for one that makes the net's output; prototxts in
    `target` are written anew. SlimError for layers of the net that the Caffe in use lacks.
    """
    if width == 1 and not size:
        return Path(source)
    paths = [Path(source) / f'{name}.prototxt' for name in ('train', 'deploy')]
    check_engine(paths)
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    nets = [read_net(path) for path in paths]
    for name, net in zip(('train', 'deploy'), shrink_alike(nets, width, keep_last=0)):
        write_prototxt(target / f'{name}.prototxt', resized(net, size) if size else net)
    write_prototxt(target / 'solver.prototxt', read_solver(Path(source) / 'solver.prototxt'))
    return target


def resized(net: caffe_pb2.NetParameter, size: int) -> caffe_pb2.NetParameter:
    """The net for square pictures of `size`; where parts are cropped, the whole picture shrinks in proportion."""
    result = copy_of(net)
    for layer in result.layer:
        if layer.type == 'ImageData':
            image, crop = layer.image_data_param, layer.transform_param.crop_size
            image.new_height = image.new_width = round(size * image.new_height / crop) if crop else size
            if crop:
                layer.transform_param.crop_size = size
        elif layer.type == 'Input':
            layer.input_param.shape[0].dim[2:] = [size, size]
    return result
