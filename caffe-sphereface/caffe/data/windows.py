"""Windows in pictures for detection (R-CNN): the window file, and cutting a window out with its context."""

from dataclasses import dataclass

import cv2
import numpy as np

from caffe.data.picture_list import whole_number
from caffe.errors import CaffeError
from caffe.proto.files import read_bytes

Box = tuple[int, int, int, int]  # x1, y1, x2, y2


@dataclass(frozen=True)
class PictureWindow:
    """A box of a picture with its corners inclusive, its class and its overlap with the ground truth."""

    path: str
    label: int
    overlap: float
    box: Box


def read_windows(source: str) -> list[PictureWindow]:
    """The windows of a file of blocks `# index`, path, channels, height, width, count, then `count` lines of
    `class overlap x1 y1 x2 y2`. Raises CaffeError naming file and line."""
    lines = Lines(source)
    windows: list[PictureWindow] = []
    while lines.left:
        try:
            windows += _block(lines)
        except ValueError as error:
            raise CaffeError(f'{source}:{lines.number}: {error}, expected the blocks of a window file') from None
    return windows


class Lines:
    """The lines of a window file that are not empty, to be taken one by one; `number` is that of the last one."""

    def __init__(self, source: str) -> None:
        text = read_bytes(source).decode(errors='surrogateescape')
        self.left = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()][::-1]
        self.source, self.number = source, 0

    def take(self, what: str) -> str:
        if not self.left:
            raise CaffeError(f'{self.source}:{self.number}: ends where {what} is expected')
        self.number, text = self.left.pop()
        return text

    def take_picture(self) -> tuple[str, int, int, int]:
        """The path, channels, height and width with which a picture's block begins."""
        if not self.take('# index').startswith('#'):
            raise ValueError('a line "# index"')
        path = self.take('a path')
        channels, height, width = (whole_number(self.take(what)) for what in ('channels', 'height', 'width'))
        return path, channels, height, width


def _block(lines: Lines) -> list[PictureWindow]:
    """The windows of one picture."""
    path, *_ = lines.take_picture()
    windows = []
    for _ in range(int(lines.take('the number of windows'))):
        label, overlap, *box = lines.take('a window').split()
        windows.append(_window(path, label, overlap, box))
    return windows


def _window(path: str, label: str, overlap: str, box: list[str]) -> PictureWindow:
    x1, y1, x2, y2 = map(whole_number, box)
    if x2 < x1 or y2 < y1:
        raise ValueError(f'window {x1} {y1} {x2} {y2} is empty')
    return PictureWindow(path, whole_number(label), float(overlap), (x1, y1, x2, y2))


def cut_window(
    image: np.ndarray, box: Box, size: int, context_pad: int, square: bool, mirror: bool
) -> tuple[np.ndarray, int, int]:
    """A window of a picture warped to `size`: (patch of uint8, top, left), the latter in a size x size frame.

    With `context_pad` the window grows so that it is surrounded by that many pixels of context after warping; what
    lies outside the picture stays free in the frame. `square` takes the tightest square around the window instead of
    changing its aspect. (Girshick et al. 2014, appendix A.)
    """
    x1, y1, x2, y2 = _with_context(box, size, context_pad, square) if context_pad or square else box
    height, width = image.shape[:2]
    scale_x, scale_y = size / (x2 - x1 + 1), size / (y2 - y1 + 1)
    left, top, right = max(0, -x1), max(0, -y1), max(0, x2 - width + 1)
    x1, y1, x2, y2 = max(0, x1), max(0, y1), min(width - 1, x2), min(height - 1, y2)
    if x2 < x1 or y2 < y1:
        raise CaffeError(f'window {box} lies outside of the picture of {height}x{width} (height x width)')
    top, left = nearest(top * scale_y), nearest((right if mirror else left) * scale_x)
    patch_width = max(1, min(nearest((x2 - x1 + 1) * scale_x), size - left))
    patch_height = max(1, min(nearest((y2 - y1 + 1) * scale_y), size - top))
    patch = cv2.resize(image[y1 : y2 + 1, x1 : x2 + 1], (patch_width, patch_height), interpolation=cv2.INTER_LINEAR)
    return (cv2.flip(patch, 1) if mirror else patch), min(top, size - 1), min(left, size - 1)


def _with_context(box: Box, size: int, context_pad: int, square: bool) -> Box:
    if size <= 2 * context_pad:
        raise CaffeError(f'context_pad {context_pad} leaves nothing of crop_size {size}')
    x1, y1, x2, y2 = box
    half_width, half_height = (x2 - x1 + 1) / 2, (y2 - y1 + 1) / 2
    centre_x, centre_y = x1 + half_width, y1 + half_height
    if square:
        half_width = half_height = max(half_width, half_height)
    grow = size / (size - 2 * context_pad)
    return (
        nearest(centre_x - half_width * grow),
        nearest(centre_y - half_height * grow),
        nearest(centre_x + half_width * grow),
        nearest(centre_y + half_height * grow),
    )


def nearest(value: float) -> int:
    """The nearest whole number, of two the one further from zero, as C rounds."""
    return int(np.floor(abs(value) + 0.5)) * (1 if value >= 0 else -1)
