"""VideoData: clips of C3D's fork."""

from collections.abc import Callable, Sequence

import numpy as np

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer, picture_generator
from caffe.data.feed import check_new_size
from caffe.data.picture_list import ClipList, read_clip_list
from caffe.data.prefetch.batch import Label, NewRow
from caffe.data.video.clips import count_frames, read_frames, read_video
from caffe.errors import CaffeError
from caffe.layers.support.listed_data import ListedData
from caffe.layers.support.registry import register
from caffe.proto import caffe_pb2
from caffe.proto.caffe_pb2 import TRAIN, VideoDataParameter


@register('VideoData')
class VideoData(ListedData):
    """Batches of clips (N, 3, T, H, W) and their labels (N,), with T `new_length` frames, `sampling_rate` apart.

    The list has lines `folder first label` with `use_image`, whose frames are folder/000001.jpg and so on, and
    `file first label` without, for videos whose first frame is 0. With `use_temporal_jitter` clips begin anywhere:
    lines are then `folder frames label`, of which TEST takes the frames from 0 on, or `file label`. Labels of
    `use_multiple_label` are lists as 0,4,7 and become (N, num_of_labels) of 0 and 1. `use_sampling_rate_jitter` draws
    the distance of frames from 1 to `max_sampling_rate`, as far as the clip has so many. transform_param crops and
    mirrors all frames of a clip alike.

    C3D passes over what it cannot read in TRAIN. Here, only folders with too few frames for `use_temporal_jitter` are
    left out, and all else is an error.
    """

    tops = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.video_data_param
        if not param.source:
            self.error('has no source, expected a list of clips; what watches a camera or a video (SSD) is not here')
        check_new_size(self, param)
        for what in ('new_length', 'sampling_rate', 'max_sampling_rate'):
            if not getattr(param, what):
                self.error(f'{what} is 0, expected at least 1')
        try:
            listing = self._read(param)
            transformer = clip_transformer(self.param.transform_param, self.phase, 3, param.new_length)
        except CaffeError as error:
            self.error(str(error))
        if param.use_temporal_jitter or param.use_sampling_rate_jitter:
            transformer.seeds_pictures = True
        log.info('video_data_layer.cpp:131', f'A total of {len(listing.paths)} video chunks.')
        load = _loader(listing, param, transformer, self.phase)
        self.read_ahead(top, param, len(listing.paths), transformer, load, divisible=listing.labels.ndim == 1)

    def _read(self, param: VideoDataParameter) -> ClipList:
        numbered = param.use_image or not param.use_temporal_jitter
        listing = read_clip_list(param.source, numbered, param.num_of_labels if param.use_multiple_label else 0)
        if not (param.use_image and param.use_temporal_jitter and self.phase == TRAIN):
            return listing
        least = param.new_length * (1 if param.use_sampling_rate_jitter else param.sampling_rate)
        kept = [index for index, frames in enumerate(listing.numbers) if frames >= least]
        if not kept:
            raise CaffeError(f'{param.source}: lists no clip of {least} frames or more')
        if len(kept) < len(listing.paths):
            left_out = len(listing.paths) - len(kept)
            log.warning('video_data_layer.cpp:92', f'{param.source}: {left_out} clips of fewer than {least} frames')
        return listing.part(kept)


def clip_transformer(
    param: caffe_pb2.TransformationParameter, phase: int, channels: int, length: int | None = None
) -> Transformer:
    """A Transformer of clips whose planes (channels · time, height, width) are those of a channel one after another.

    CaffeError where the parameter asks for what clips do not have.
    """
    if param.resize_param:
        raise CaffeError('transform_param has resize_param, expected new_height and new_width')
    planes = caffe_pb2.TransformationParameter()
    planes.CopyFrom(param)
    if len(param.mean_value) > 1:
        if len(param.mean_value) != channels or length is None:
            expected = 'once' if length is None else f'once or {channels} times (once per channel)'
            raise CaffeError(f'mean_value is given {len(param.mean_value)} times, expected {expected}')
        planes.mean_value[:] = [value for value in param.mean_value for _ in range(length)]
    return Transformer(planes, phase)


def place_clip(clip: np.ndarray, transformer: Transformer, draw: Draw, new_row: NewRow) -> None:
    """Put a clip (channels, time, height, width) into `new_row(shape, dtype)`, all frames transformed alike."""

    def new_planes(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return new_row((*clip.shape[:2], *shape[1:]), dtype).reshape(shape)

    transformer.place_planes(np.ascontiguousarray(clip).reshape(-1, *clip.shape[2:]), draw, new_planes)


def _loader(
    listing: ClipList, param: VideoDataParameter, transformer: Transformer, phase: int
) -> Callable[[int, Draw, NewRow], Label]:
    root, size, jitter = param.root_folder, (param.new_height, param.new_width), param.use_temporal_jitter

    def read(path: str, number: int, draws: np.random.Generator) -> np.ndarray:
        if not param.use_image:
            return read_video(path, _frames(param, draws, number, count_frames(path) if jitter else None), *size)
        anywhere = jitter and phase == TRAIN
        numbers = _frames(param, draws, 0 if jitter else number, number if anywhere else None)
        return read_frames([f'{path}/{i + anywhere:06d}.jpg' for i in numbers], True, *size)

    def load(index: int, draw: Draw, new_row: NewRow) -> Label:
        try:
            frames = read(root + listing.paths[index], listing.numbers[index], picture_generator(draw, 1))
            place_clip(frames.transpose(3, 0, 1, 2), transformer, draw, new_row)
        except CaffeError as error:
            raise CaffeError(f'{listing.where(index)}: {error}') from None
        return listing.labels[index]

    return load


def _frames(
    param: VideoDataParameter, draws: np.random.Generator, first: int, count: int | None = None
) -> Sequence[int]:
    """The numbers of a clip's frames: from `first` on, or from anywhere in 0 … count − 1 where `count` is given."""
    rate = param.sampling_rate
    if param.use_sampling_rate_jitter:
        most = param.max_sampling_rate if count is None else min(param.max_sampling_rate, count // param.new_length)
        rate = 1 + int(draws.integers(max(1, most)))
    span = param.new_length * rate
    if count is not None:
        if count < span:
            raise CaffeError(f'has {count} frames, expected {span} or more')
        first = int(draws.integers(count - span + 1))
    return range(first, first + span, rate)
