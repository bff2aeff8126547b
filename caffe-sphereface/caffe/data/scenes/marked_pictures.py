"""The window file of MS-CNN: pictures, the true boxes in them, and regions of them that say nothing."""

from dataclasses import dataclass

import numpy as np

from caffe.data.picture_list import whole_number
from caffe.data.windows import Lines
from caffe.errors import CaffeError


@dataclass(frozen=True)
class MarkedPicture:
    """A picture of a window file, whose block ends in line `line`.

    `height` and `width` are what the file states. `labels` (G) and `ignored` (G) belong to the true boxes, which are
    the first of `rectangles` (G + R, 4), x1, y1, x2, y2 in pixels; the others are regions that nothing is learned from.
    """

    path: str
    line: int
    height: int
    width: int
    labels: np.ndarray
    ignored: np.ndarray
    rectangles: np.ndarray


def read_marked_pictures(source: str) -> list[MarkedPicture]:
    """The pictures of a file of blocks `# index`, path, channels, height, width, then the number of true boxes with a
    line `class ignored x1 y1 x2 y2` for each, and the number of regions with a line `x1 y1 x2 y2` for each.

    Raises CaffeError naming file and line.
    """
    lines = Lines(source)
    pictures: list[MarkedPicture] = []
    while lines.left:
        try:
            pictures.append(_block(lines))
        except ValueError as error:
            raise CaffeError(f"{source}:{lines.number}: {error}, expected the blocks of MS-CNN's window file") from None
    if not pictures:
        raise CaffeError(f'{source}: lists no pictures, expected a block "# 0" and so on for each')
    return pictures


def _block(lines: Lines) -> MarkedPicture:
    """One picture."""
    path, _, height, width = lines.take_picture()
    boxes = _rows(lines, 'true boxes', 6)
    regions = _rows(lines, 'regions', 4)
    rectangles = np.concatenate([boxes[:, 2:], regions]).astype(np.float32)
    return MarkedPicture(path, lines.number, height, width, boxes[:, 0], boxes[:, 1] != 0, rectangles)


def _rows(lines: Lines, what: str, count: int) -> np.ndarray:
    """(K, count) of the K lines behind the line that states K."""
    rows = []
    for _ in range(whole_number(lines.take(f'the number of {what}'))):
        numbers = [whole_number(word) for word in lines.take(f'one of the {what}').split()]
        if len(numbers) != count:
            raise ValueError(f'{len(numbers)} numbers where {what} have {count}')
        if count == 6 and numbers[0] < 1:
            raise ValueError(f'class {numbers[0]}, which is no object')
        rows.append(numbers)
    return np.array(rows, int).reshape(-1, count)
