"""Pictures made the size that a net takes (resize_param of SSD)."""

from collections.abc import Sequence

import cv2
import numpy as np

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_Param = caffe_pb2.ResizeParameter
_BORDERS = {
    _Param.CONSTANT: cv2.BORDER_CONSTANT,
    _Param.MIRRORED: cv2.BORDER_REFLECT_101,
    _Param.REPEAT_NEAREST: cv2.BORDER_REPLICATE,
}
_INTERPOLATIONS = {
    _Param.LINEAR: cv2.INTER_LINEAR,
    _Param.AREA: cv2.INTER_AREA,
    _Param.NEAREST: cv2.INTER_NEAREST,
    _Param.CUBIC: cv2.INTER_CUBIC,
    _Param.LANCZOS4: cv2.INTER_LANCZOS4,
}


def read_resizings(params: Sequence[caffe_pb2.ResizeParameter]) -> list['Resizing']:
    """The Resizing of each, of which ten batches in a row get one by their `prob`.

    Raises CaffeError unless those add up to 1.
    """
    stated = [one.prob for one in params]
    if stated and abs(sum(stated) - 1) > 0.01:
        raise CaffeError(f'resize_param has prob {", ".join(f"{prob:g}" for prob in stated)}, expected a sum of 1')
    return [Resizing(one) for one in params]


class Resizing:
    """Resizes pictures as a ResizeParameter says: WARP to height and width, whatever their aspect.

    FIT_SMALL_SIZE keeps the aspect and makes the picture just cover height and width, and FIT_LARGE_SIZE_AND_PAD makes
    it just fit into them and adds borders of `pad_mode` on both sides. Of several `interp_mode` each picture gets one
    at random; without any it is linear.
    """

    def __init__(self, param: caffe_pb2.ResizeParameter) -> None:
        if not param.height or not param.width:
            raise CaffeError(f'resize_param has height {param.height} and width {param.width}, expected both')
        if param.height_scale or param.width_scale:
            raise CaffeError('height_scale and width_scale of resize_param are not implemented (SSD has them)')
        self._param = param
        self.prob: float = param.prob
        self.keeps_aspect = param.resize_mode == _Param.FIT_LARGE_SIZE_AND_PAD
        self._modes = [_INTERPOLATIONS[mode] for mode in param.interp_mode] or [cv2.INTER_LINEAR]
        self.is_random = len(self._modes) > 1

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A picture (height, width[, channels]) resized; `random` is asked where there are several `interp_mode`."""
        mode = self._modes[random.integers(len(self._modes)) if self.is_random else 0]
        height, width = self._inner(*image.shape[:2])
        try:
            resized = cv2.resize(image, (max(1, width), max(1, height)), interpolation=mode)
        except cv2.error:
            raise CaffeError(f'a picture of {image.shape[:2]} cannot be resized to {(height, width)}') from None
        return self._padded(resized) if self._param.resize_mode == _Param.FIT_LARGE_SIZE_AND_PAD else resized

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture of that size after `__call__`."""
        param = self._param
        return (param.height, param.width) if param.resize_mode != param.FIT_SMALL_SIZE else self._inner(height, width)

    def _inner(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that a picture of that size is resized to, before borders."""
        param = self._param
        if param.resize_mode == param.WARP:
            return param.height, param.width
        aspect = np.float32(width) / np.float32(height)
        is_wide = aspect > np.float32(param.width) / np.float32(param.height)
        if is_wide == (param.resize_mode == param.FIT_LARGE_SIZE_AND_PAD):
            return int(np.float32(param.width) / aspect), param.width
        return param.height, int(aspect * np.float32(param.height))

    def _padded(self, image: np.ndarray) -> np.ndarray:
        param = self._param
        channels = 1 if image.ndim == 2 else image.shape[2]
        if len(param.pad_value) not in (0, 1, channels):
            raise CaffeError(f'resize_param has {len(param.pad_value)} pad_value, expected 1 or {channels}')
        values = [*param.pad_value] or [0.0]
        color = values * channels if len(values) == 1 else values
        rows, columns = param.height - image.shape[0], param.width - image.shape[1]
        above, left = rows // 2, columns // 2
        border = _BORDERS[param.pad_mode]
        return cv2.copyMakeBorder(image, above, rows - above, left, columns - left, border, value=color)

    def boxes(self, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
        """Where boxes (K, 4) of a picture of that size lie in the resized one, borders included."""
        param = self._param
        if param.resize_mode != param.FIT_LARGE_SIZE_AND_PAD:
            return boxes
        aspect = width / height / (param.width / param.height)
        # the part of the resized picture's width and height that the picture takes, the rest being borders
        inner = np.array([min(1, aspect), min(1, 1 / aspect)] * 2, np.float32)
        return (1 - inner) / 2 + boxes * inner
