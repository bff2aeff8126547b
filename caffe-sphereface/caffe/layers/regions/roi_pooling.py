"""ROIPooling: the maxima of regions of pictures, in as many bins for each region (Girshick 2015)."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.regions.region_pooling import RegionPooling, nearest
from caffe.layers.support.registry import register


@register('ROIPooling')
class ROIPooling(RegionPooling):
    """Bottoms x (N, C, H, W) and regions (R, 5): image, x1, y1, x2, y2; top (R, C, pooled_h, pooled_w).

    Corners are rounded after spatial_scale and belong to the region, which MS-CNN's `pad_ratio` widens on each side by
    as much of its width and height. Bins without a value in the picture are 0. The
    diff goes to the first maximum of each bin, summed over regions (Fast R-CNN's fork, on the CPU as in Caffe-ZF).
    """

    kept = ('_places',)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().setup(bottom, top)
        self._places: list[tuple[int, torch.Tensor]] = []

    def _regions(self, bottom: list[Blob]) -> list[tuple[int, list[range], list[range]]]:
        """The image, the rows of each bin and the columns of each bin of every region."""
        shape, (images, corners) = bottom[0].shape, self.regions_of(bottom)
        param = self.param.roi_pooling_param
        around = (corners[:, 2:] - corners[:, :2] + 1) * np.float32(param.pad_ratio)
        corners = nearest((corners + np.hstack([-around, around])) * np.float32(param.spatial_scale)).astype(int)
        return [
            (int(image), _bins(upper, lower, self.bins[0], shape[2]), _bins(left, right, self.bins[1], shape[3]))
            for image, (left, upper, right, lower) in zip(images, corners)
        ]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, regions = bottom[0].tensor, self._regions(bottom)
        pool = self._with_places if self.needs_backward else _maxima
        y = pool(x, regions) if regions else x.new_zeros(0)
        top[0].tensor = torch.where(y == -torch.inf, 0, y).reshape(top[0].shape)

    def _with_places(self, x: torch.Tensor, regions: list[tuple[int, list[range], list[range]]]) -> torch.Tensor:
        """The maxima (R, C, bins), −inf where there is no value; keeps the place of the first of each."""
        # one more plane position than there is holds what empty bins see
        planes = torch.nn.functional.pad(x.flatten(2), (0, 1), value=-torch.inf)
        values: list[torch.Tensor] = []
        self._places = []
        for image, rows, columns in regions:
            inside = torch.from_numpy(_positions(rows, columns, x.shape[3], planes.shape[2] - 1)).to(x.device)
            value, which = planes[image][:, inside].max(2)
            values.append(value)
            places = inside.expand(x.shape[1], -1, -1).gather(2, which.unsqueeze(2)).squeeze(2)
            self._places.append((image, places))
        return torch.stack(values)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'regions')
        if not propagate_down[0]:
            return
        shape = bottom[0].shape
        dy = top[0].grad.flatten(2)
        planes = torch.zeros(*shape[:2], shape[2] * shape[3] + 1, device=self.device)
        for grad, (image, places) in zip(dy, self._places):
            planes[image].scatter_add_(1, places, grad)
        bottom[0].grad = planes[:, :, :-1].reshape(shape)


def _maxima(x: torch.Tensor, regions: list[tuple[int, list[range], list[range]]]) -> torch.Tensor:
    """The maxima (R, C, bins of rows, bins of columns), −inf where there is no value."""
    x = x.permute(0, 2, 3, 1).contiguous()  # whole vectors of channels are compared at once
    pooled = []
    for image, rows, columns in regions:
        left, right = columns[0].start, columns[-1].stop
        lines = torch.stack([_maximum(x[image, bin.start : bin.stop, left:right], 0) for bin in rows])
        parts = [_maximum(lines[:, bin.start - left : bin.stop - left], 1) for bin in columns]
        pooled.append(torch.stack(parts, 1))
    return torch.stack(pooled).permute(0, 3, 1, 2)


def _maximum(x: torch.Tensor, axis: int) -> torch.Tensor:
    """The maxima along an axis, −inf where it is empty."""
    return x.amax(axis) if x.shape[axis] else x.sum(axis) - torch.inf


def _bins(first: int, last: int, count: int, size: int) -> list[range]:
    """The places of each bin between two corners, within a picture of `size`."""
    width = np.float32(max(last - first + 1, 1)) / np.float32(count)
    edges = np.arange(count + 1, dtype=np.float32) * width
    starts, ends = np.floor(edges[:-1]).astype(int) + first, np.ceil(edges[1:]).astype(int) + first
    return [range(max(0, start), max(0, min(size, end))) for start, end in zip(starts, ends)]


def _positions(rows: list[range], columns: list[range], width: int, beyond: int) -> np.ndarray:
    """(bins, most positions): the positions in a plane of each bin row by row, `beyond` behind the last."""
    bins = [[row * width + column for row in r for column in c] for r in rows for c in columns]
    most = max(1, *map(len, bins))
    return np.array([one + [beyond] * (most - len(one)) for one in bins])
