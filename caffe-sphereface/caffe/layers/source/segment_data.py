"""VideoData of TSN (Wang et al. 2016): a few frames, or some flow, of each of the parts of a video."""

from collections.abc import Callable, Sequence

import numpy as np

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer, picture_generator
from caffe.data.feed import check_new_size
from caffe.data.picture_list import ClipList, read_clip_list
from caffe.data.prefetch.batch import Label, NewRow
from caffe.data.video.clips import read_frames
from caffe.errors import CaffeError
from caffe.layers.support.listed_data import ListedData
from caffe.layers.support.registry import register
from caffe.proto import caffe_pb2
from caffe.proto.caffe_pb2 import TRAIN, VideoDataParameter

_PATTERNS = {VideoDataParameter.RGB: 'image_%04d.jpg', VideoDataParameter.FLOW: 'flow_%c_%04d.jpg'}


def is_of_segments(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a VideoData layer states what only TSN's has."""
    return any(layer.video_data_param.HasField(name) for name in ('num_segments', 'modality', 'name_pattern'))


@register('VideoData', when=is_of_segments)
class SegmentData(ListedData):
    """Batches of videos (N, S · L · C, H, W) and labels (N,): L `new_length` pictures of S `num_segments` parts each.

    The list has lines `folder frames label`. A picture in colour has C = 3 planes (B, G, R); FLOW has 2, those to the
    right (`x`) and down (`y`), of two grey pictures. Their names are `name_pattern` with the number of the frame, from
    1 on, and for FLOW x or y before it. In TRAIN the pictures begin anywhere in their part, in TEST in its middle,
    and where parts are shorter than `new_length` with frame 2.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.video_data_param
        check_new_size(self, param)
        if not param.num_segments or param.HasField('new_length') and not param.new_length:
            self.error(f'num_segments {param.num_segments}, new_length {param.new_length}: expected at least 1')
        pattern = param.name_pattern or _PATTERNS[param.modality]
        try:
            name_of(pattern, param.modality == param.FLOW, 1)
            listing = read_clip_list(param.source, numbered=True)
            transformer = _transformer(self.param, self.phase)
        except CaffeError as error:
            self.error(str(error))
        log.info('video_data_layer.cpp:44', f'A total of {len(listing.paths)} videos.')
        transformer.seeds_pictures = True
        load = _loader(listing, param, pattern, transformer, self.phase)
        self.read_ahead(top, param, len(listing.paths), transformer, load)


def name_of(pattern: str, flow: bool, number: int, axis: str = 'x') -> str:
    """The name of a frame's picture by a pattern such as flow_%c_%05d.jpg; CaffeError for one that does not fit."""
    try:
        return pattern % ((axis, number) if flow else number)
    except (TypeError, ValueError):
        expected = 'flow_%c_%05d.jpg' if flow else 'image_%05d.jpg'
        raise CaffeError(f"name_pattern is '{pattern}', expected one such as {expected}") from None


def _transformer(layer: caffe_pb2.LayerParameter, phase: int) -> Transformer:
    """The layer's Transformer, with means for a part of the planes repeated for all of them."""
    param, planes = layer.video_data_param, caffe_pb2.TransformationParameter()
    planes.CopyFrom(layer.transform_param)
    count = param.num_segments * _length(param) * (2 if param.modality == param.FLOW else 3)
    stated = list(planes.mean_value)
    if len(stated) > 1 and not count % len(stated):
        planes.mean_value[:] = stated * (count // len(stated))
    return Transformer(planes, phase)


def _length(param: VideoDataParameter) -> int:
    return param.new_length or 1


def _loader(
    listing: ClipList, param: VideoDataParameter, pattern: str, transformer: Transformer, phase: int
) -> Callable[[int, Draw, NewRow], Label]:
    flow, size = param.modality == param.FLOW, (param.new_height, param.new_width)

    def load(index: int, draw: Draw, new_row: NewRow) -> Label:
        random = picture_generator(draw, 1) if phase == TRAIN else None
        numbers = frame_numbers(listing.numbers[index], param.num_segments, _length(param), random)
        names = [name_of(pattern, flow, number, axis) for number in numbers for axis in ('xy' if flow else 'x')]
        try:
            frames = read_frames([f'{listing.paths[index]}/{name}' for name in names], not flow, *size)
            planes = frames if flow else frames.transpose(0, 3, 1, 2).reshape(-1, *frames.shape[1:3])
            transformer.place_planes(planes, draw, new_row)
        except CaffeError as error:
            raise CaffeError(f'{listing.where(index)}: {error}') from None
        return listing.labels[index]

    return load


def frame_numbers(frames: int, segments: int, length: int, random: np.random.Generator | None) -> Sequence[int]:
    """The frames, from 1 on, that are taken of a video of `frames`: `length` of each part, at random or its middle."""
    part = frames // segments
    numbers: list[int] = []
    for i in range(segments):
        if part < length:
            before = 1
        else:
            before = i * part + (int(random.integers(part - length + 1)) if random else (part - length + 1) // 2)
        numbers += range(before + 1, before + 1 + length)
    return numbers
