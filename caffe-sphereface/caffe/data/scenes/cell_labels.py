"""Labels of the cells of maps on several scales: which true box each cell's field stands for (MS-CNN)."""

from dataclasses import dataclass

import numpy as np

from caffe.data.boxes import coverages, overlaps
from caffe.data.windows import nearest

CHANNELS = 6  # class, middle x and y, width, height, largest overlap
_MOST_OF_REGIONS = np.float32(0.4)
_LEAST_OVERLAP = np.float32(0.2)


@dataclass(frozen=True)
class CellMap:
    """A map of cells of `rate` pixels, each with a field of `width` × `height` about its middle."""

    rate: int
    width: int
    height: int

    def shape(self, frame: tuple[int, int]) -> tuple[int, int]:
        """The rows and columns of the cells of a frame (height, width)."""
        return nearest(frame[0] / self.rate), nearest(frame[1] / self.rate)

    def fields(self, shape: tuple[int, int]) -> np.ndarray:
        """The fields (cells, 4), row by row."""
        rows, columns = np.divmod(np.arange(shape[0] * shape[1]), max(shape[1], 1))
        middles = (np.column_stack([columns, rows]) + 0.5) * self.rate
        half = np.array([self.width, self.height]) / 2
        return np.hstack([middles - half, middles + half]).astype(np.float32)


@dataclass(frozen=True)
class Truth:
    """True boxes (G, 4) in pixels of a frame, their classes (G), which of them are ignored (G), and regions (R, 4)
    that say nothing."""

    boxes: np.ndarray
    classes: np.ndarray
    ignored: np.ndarray
    regions: np.ndarray


def cell_labels(
    maps: list[CellMap], truth: Truth, frame: tuple[int, int], inside: tuple[slice, slice], threshold: float
) -> list[np.ndarray]:
    """The labels (CHANNELS, rows, columns) of each map over a frame (height, width).

    A cell whose field overlaps a true box by more than `threshold` has the class and the place of the one that it
    overlaps most, class 0 where that is ignored, and says by how much. Cells outside of the picture, which lies in the
    rows and columns `inside`, and those of whose fields regions cover 0.4 have class 0 and an overlap of 1, so that
    they are no background either. A box that no cell got is given to that one in which its middle lies, of the map in
    which a cell overlaps it most, if that is by 0.2 or more and the cell has no box.
    """
    labels = [np.zeros((CHANNELS, *one.shape(frame)), np.float32) for one in maps]
    best = np.zeros((len(maps), len(truth.boxes)), np.float32)
    given = np.zeros(len(truth.boxes), bool)
    for one, values, most in zip(maps, labels, best):
        blind = _blind(one, values.shape[1:], truth.regions, inside)
        values[5].reshape(-1)[blind] = 1
        if not len(truth.boxes):
            continue
        found = overlaps(one.fields(values.shape[1:]), truth.boxes)
        found[blind] = 0
        most[:] = found.max(0, initial=0)
        cells, match = found.max(1), found.argmax(1)
        taken = cells > np.float32(threshold)
        values[5].reshape(-1)[~blind] = cells[~blind]
        values.reshape(CHANNELS, -1)[:5, taken] = _rows(truth)[match[taken]].T
        given[match[taken]] = True
    _give_rest(maps, labels, truth, best, given)
    return labels


def _rows(truth: Truth) -> np.ndarray:
    """(G, 5): class, 0 where a box is ignored, middle x and y, width and height."""
    low, high = truth.boxes[:, :2], truth.boxes[:, 2:]
    return np.column_stack([np.where(truth.ignored, 0, truth.classes), (low + high) / 2, high - low])


def _blind(one: CellMap, shape: tuple[int, ...], regions: np.ndarray, inside: tuple[slice, slice]) -> np.ndarray:
    """Which cells, row by row, lie outside of the picture or under regions."""
    blind = np.ones(shape, bool)
    starts = [nearest(part.start / one.rate) for part in inside]
    sizes = [nearest((part.stop - part.start) / one.rate) for part in inside]
    blind[tuple(slice(start, start + size) for start, size in zip(starts, sizes))] = False
    if len(regions):
        fields = one.fields((shape[0], shape[1]))
        blind |= (coverages(fields, regions).sum(1) >= _MOST_OF_REGIONS).reshape(shape)
    return blind.reshape(-1)


def _give_rest(
    maps: list[CellMap], labels: list[np.ndarray], truth: Truth, best: np.ndarray, given: np.ndarray
) -> None:
    """Give boxes that no cell got to the cells in which their middles lie."""
    rows = _rows(truth)
    for i in np.flatnonzero(~given & ~truth.ignored & (best.max(0, initial=0) >= _LEAST_OVERLAP)):
        chosen = int(best[:, i].argmax())
        values, rate = labels[chosen], maps[chosen].rate
        column, row = np.floor(rows[i, 1:3] / rate).astype(int).clip(0, np.array(values.shape[:0:-1]) - 1)
        if not values[0, row, column] > 0:
            values[:5, row, column] = rows[i]
