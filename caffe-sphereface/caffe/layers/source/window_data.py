"""WindowData: foreground and background windows of pictures, for detection."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer
from caffe.data.feed import Feed, make_transformer, own_generator
from caffe.data.pictures import decode_picture, read_small
from caffe.data.prefetch.batch import NewRow
from caffe.data.windows import PictureWindow, cut_window, read_windows
from caffe.errors import CaffeError
from caffe.layers.support.registry import Layer, register
from caffe.proto import caffe_pb2

# a window, the label that it counts as, whether it is mirrored
Drawn = tuple[PictureWindow, int, bool]


@register('WindowData')
class WindowData(Layer):
    """Batches (N, 3, crop_size, crop_size) and labels (N,): random background windows, then random foreground ones.

    Background are windows whose overlap is under `bg_threshold`; their label is 0.
    """

    bottoms = 0
    values_from = 'files'
    tops = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, transform = self.param.window_data_param, self.param.transform_param
        if not transform.crop_size:
            self.error('has no crop_size in transform_param, expected at least 1')
        if param.crop_mode not in ('warp', 'square'):
            self.error(f"crop_mode '{param.crop_mode}', expected warp or square")
        transformer, generator = make_transformer(self), own_generator()
        if transformer.random_sizes:
            self.error('has random_resize_param or random_aspect_ratio_param, expected crop_size alone')
        if transformer.resizings:
            self.error('has resize_param, expected none: windows are resized to crop_size')
        try:
            windows = read_windows(param.source)
        except CaffeError as error:
            self.error(str(error))
        step = self._sampler(windows, param, transform.mirror, generator)
        load = _loader(param, transformer)
        # the frame around a window stays zero after the mean is subtracted, so that `load` does all arithmetic itself
        nothing = Transformer(caffe_pb2.TransformationParameter(), self.phase)
        # every process would keep its own pictures
        self._feed = Feed(self, nothing, step, load, param.batch_size, generator, divisible=not param.cache_images)
        top[0].reshape(param.batch_size, 3, transform.crop_size, transform.crop_size)
        top[1].reshape(param.batch_size)

    def _sampler(
        self,
        windows: list[PictureWindow],
        param: caffe_pb2.WindowDataParameter,
        mirror: bool,
        generator: np.random.Generator,
    ) -> Callable[[], Drawn]:
        """The `step` of the feed: draws (window, label, mirrored)."""
        foreground = [w for w in windows if w.overlap >= param.fg_threshold]
        background = [w for w in windows if w.overlap < min(param.fg_threshold, param.bg_threshold)]
        fg_count = int(param.batch_size * np.float32(param.fg_fraction))
        bg_count = param.batch_size - fg_count
        for what, some, count in (('foreground', foreground, fg_count), ('background', background, bg_count)):
            if count and not some:
                self.error(f'{param.source} has no {what} windows, a batch needs {count}')
        position = 0

        def step() -> Drawn:
            nonlocal position
            is_foreground = position >= bg_count
            position = (position + 1) % param.batch_size
            choice = foreground if is_foreground else background
            window = choice[generator.integers(len(choice))]
            return window, window.label if is_foreground else 0, mirror and generator.random() >= 0.5

        return step

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._feed.forward(self, top)


def _loader(param: caffe_pb2.WindowDataParameter, transformer: Transformer) -> Callable[[Drawn, Draw, NewRow], int]:
    root, (size, _) = param.root_folder, transformer.crop or (0, 0)
    read = lru_cache(None if param.cache_images else 0)(read_small)
    mean = _centre_of_mean(transformer, size)

    def load(drawn: Drawn, draw: Draw, new_row: NewRow) -> int:
        window, label, mirrored = drawn
        try:
            image = decode_picture(read(root + window.path), 'the file', color=True)
            patch, top, left = cut_window(
                image, window.box, size, param.context_pad, param.crop_mode == 'square', mirrored
            )
        except CaffeError as error:
            raise CaffeError(f'{param.source}: {root + window.path}: {error}') from None
        height, width = patch.shape[:2]
        out = new_row((3, size, size), np.dtype('f4'))
        out[...] = 0
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        out[place] = (patch.transpose(2, 0, 1) - mean[place]) * np.float32(transformer.scale)
        return label

    return load


def _centre_of_mean(transformer: Transformer, size: int) -> np.ndarray:
    """The mean to subtract, as float32 (3, size, size)."""
    if transformer.mean_image is None:
        values = transformer.mean_value if len(transformer.mean_value) else np.zeros(1, np.float32)
        return np.broadcast_to(values.reshape(-1, 1, 1), (3, size, size))
    height, width = transformer.mean_image.shape[1:]
    top, left = (height - size) // 2, (width - size) // 2
    return transformer.mean_image[:, top : top + size, left : left + size]
