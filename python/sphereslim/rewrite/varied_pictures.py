"""A net's Input replaced by pictures of a list, for training without labels: mirrored, shifted, in other light.

Half of every batch are pictures as they are. A quarter is enlarged, so that the part that is cut out shifts, and a
quarter stretched in height, which brings the features of a face as close together as they are when it turns away. In
all of them contrast and brightness change from picture to picture. Standard layers do it: an ImageData for each part,
and DummyData, Scale and Bias behind them. Chances are alike for whatever reads the pictures, student and teacher.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sphereslim.data.preparation import CUTS, InputForm
from sphereslim.engine import caffe_pb2
from sphereslim.net.inputs import is_data
from sphereslim.net.messages import copy_of

# name of a part of the batch: its share, and by how much the height and width of its pictures grow before the cut
PARTS = {'enlarged': (0.25, 1.07, 1.07), 'stretched': (0.25, 1.2, 1.02)}
CONTRAST = (0.7, 1.2)  # what a picture, less its mean, is multiplied by
BRIGHTNESS = 32.0  # grey levels that it may lose or gain


def with_pictures(
    net: caffe_pb2.NetParameter,
    form: InputForm,
    pictures: str | Path,
    batch: int,
    size: tuple[int, int] | None = None,
) -> caffe_pb2.NetParameter:
    """The net (N, C, H, W) with its Input replaced by `batch` pictures of the list `pictures`, in random order.

    `size` is (height, width) of the pictures; without it they are mirrored only. RGB is made of slices put together in
    reverse.
    """
    result = copy_of(net)
    del result.layer[:]
    for layer in net.layer:
        if is_data(layer):
            result.layer.extend(_picture_layers(layer, form, pictures, batch, size))
        else:
            result.layer.add().CopyFrom(layer)
    return result


def _picture_layers(
    layer: caffe_pb2.LayerParameter, form: InputForm, pictures: str | Path, batch: int, size: tuple[int, int] | None
) -> Iterator[caffe_pb2.LayerParameter]:
    blob, channels = layer.top[0], layer.input_param.shape[0].dim[1]
    source = f'{blob}_bgr' if form.rgb else blob
    if size is None or not _can_cut(layer):
        yield from _read(layer, layer.name, source, form, pictures, batch)
    else:
        yield from _varied(layer, source, form, pictures, batch, size)
    if form.rgb:
        parts = [f'{blob}_{number}' for number in range(channels)]
        yield caffe_pb2.LayerParameter(name=f'{blob}_slice', type='Slice', bottom=[source], top=parts)
        yield caffe_pb2.LayerParameter(name=f'{blob}_rgb', type='Concat', bottom=parts[::-1], top=[blob])


def _varied(
    layer: caffe_pb2.LayerParameter, top: str, form: InputForm, pictures: str | Path, batch: int, size: tuple[int, int]
) -> Iterator[caffe_pb2.LayerParameter]:
    """Layers that give the blob `top` its pictures, a part of the batch after the other, each in a light of its own."""
    counts = {name: int(share * batch) for name, (share, _, _) in PARTS.items()}
    blob, counts['plain'] = layer.top[0], batch - sum(counts.values())
    parts = [name for name, count in counts.items() if count]
    for name in parts:
        read = layer, f'{layer.name}_{name}', f'{blob}_{name}', form, pictures, counts[name]
        yield from _read(*read, size, _larger(layer, form, size, *PARTS[name][1:]) if name in PARTS else None)
    joined = caffe_pb2.LayerParameter(name=f'{blob}_joined', type='Concat', top=[f'{blob}_joined'])
    joined.bottom.extend(f'{blob}_{name}' for name in parts)
    joined.concat_param.axis = 0
    yield joined
    yield from _in_other_light(blob, joined.top[0], top, batch, BRIGHTNESS * form.scale)


def _larger(
    layer: caffe_pb2.LayerParameter, form: InputForm, size: tuple[int, int], height: float, width: float
) -> tuple[int, int]:
    """The (height, width) of pictures, grown by two factors, that a part of the net's size is cut out of."""
    base = size if form.crop in CUTS else layer.input_param.shape[0].dim[2:]
    return int(np.ceil(height * base[0])), int(np.ceil(width * base[1]))


def _in_other_light(
    blob: str, bottom: str, top: str, batch: int, brightness: float
) -> Iterator[caffe_pb2.LayerParameter]:
    """Contrast and brightness of each picture of the blob `bottom`, drawn anew in every pass."""
    for name, (low, high) in (('contrast', CONTRAST), ('brightness', (-brightness, brightness))):
        drawn = caffe_pb2.LayerParameter(name=f'{blob}_{name}', type='DummyData', top=[f'{blob}_{name}'])
        drawn.dummy_data_param.shape.add().dim.append(batch)
        drawn.dummy_data_param.data_filler.add(type='uniform', min=low, max=high)
        yield drawn
    scaled = caffe_pb2.LayerParameter(
        name=f'{blob}_scaled', type='Scale', bottom=[bottom, f'{blob}_contrast'], top=[f'{blob}_scaled']
    )
    scaled.scale_param.axis = 0
    moved = caffe_pb2.LayerParameter(
        name=f'{blob}_lit', type='Bias', bottom=[scaled.top[0], f'{blob}_brightness'], top=[top]
    )
    moved.bias_param.axis = 0
    yield from (scaled, moved)


def _read(
    layer: caffe_pb2.LayerParameter,
    name: str,
    top: str,
    form: InputForm,
    pictures: str | Path,
    batch: int,
    size: tuple[int, int] | None = None,
    larger: tuple[int, int] | None = None,
) -> Iterator[caffe_pb2.LayerParameter]:
    """An ImageData of mirrored pictures, resized to (height, width) `larger` where that is given, and cut.

    `size` is that of the files, where it is known.
    """
    channels, height, width = layer.input_param.shape[0].dim[1:]
    data = caffe_pb2.LayerParameter(name=name, type='ImageData', top=[top, f'{top}_label'])
    data.transform_param.scale, data.transform_param.mirror = form.scale, True
    data.transform_param.mean_value.extend(_means(form, channels))
    image = data.image_data_param
    image.source, image.batch_size, image.shuffle, image.is_color = str(pictures), batch, True, channels == 3
    if larger or form.crop not in CUTS:
        image.new_height, image.new_width = larger or (height, width)
    if larger or form.crop in CUTS:
        _cut(data.transform_param, height, width, larger or size)
    yield data
    yield caffe_pb2.LayerParameter(name=f'{top}_unlabelled', type='Silence', bottom=[f'{top}_label'])


def _can_cut(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether the Caffe in use cuts parts of the net's size: Caffe 1.0 has squares only."""
    height, width = layer.input_param.shape[0].dim[2:]
    return height == width or 'crop_h' in caffe_pb2.TransformationParameter.DESCRIPTOR.fields_by_name


def _cut(param: caffe_pb2.TransformationParameter, height: int, width: int, size: tuple[int, int] | None) -> None:
    """Ask for a random part of the net's size, of pictures of a size that may be known."""
    if height == width:
        param.crop_size = height
    elif size and size != (height, width):
        param.crop_h, param.crop_w = height, width


def _means(form: InputForm, channels: int) -> Sequence[float]:
    """The means of the channels as they lie in the files, BGR."""
    means = list(form.mean) if isinstance(form.mean, tuple) else [form.mean] * channels
    return means[::-1] if form.rgb else means
