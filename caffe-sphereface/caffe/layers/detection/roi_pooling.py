"""ROIPooling: the maxima of regions of pictures, in as many bins for each region (Girshick 2015)."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('ROIPooling')
class ROIPooling(Layer):
    """Bottoms x (N, C, H, W) and regions (R, 5): image, x1, y1, x2, y2; top (R, C, pooled_h, pooled_w).

    Corners are rounded after spatial_scale and belong to the region. Bins without a value in the picture are 0. The
    diff goes to the first maximum of each bin, summed over regions (Fast R-CNN's fork, on the CPU as in Caffe-ZF).
    """

    bottoms = 2
    tops = 1
    no_diff_bottoms = (1,)
    kept = ('_places',)
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.roi_pooling_param
        self.bins = param.pooled_h, param.pooled_w
        if 0 in self.bins:
            self.error(f'pooled_h, pooled_w are {self.bins}, expected at least 1 each')

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, regions = bottom[0].shape, bottom[1].shape
        if len(shape) != 4:
            self.error(f'bottom of shape {shape}, expected 4 axes (num, channels, height, width)')
        if not regions or bottom[1].count != regions[0] * 5:
            self.error(f'regions have shape {regions}, expected (regions, 5)')
        top[0].reshape(regions[0], shape[1], *self.bins)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        regions = bottom[1].tensor.cpu().numpy().reshape(-1, 5)
        images = regions[:, 0].astype(int)
        if len(images) and not 0 <= images.min() <= images.max() < len(x):
            self.error(f'has regions of images {images.min()} to {images.max()}, expected 0 to {len(x) - 1}')
        scale = np.float32(self.param.roi_pooling_param.spatial_scale)
        corners = _rounded(regions[:, 1:].astype(np.float32) * scale)
        # one more plane position than there is holds what empty bins see
        planes = torch.nn.functional.pad(x.flatten(2), (0, 1), value=-torch.inf)
        values, places = [], []
        for image, (left, upper, right, lower) in zip(images, corners):
            rows = _bins(upper, lower, self.bins[0], x.shape[2])
            columns = _bins(left, right, self.bins[1], x.shape[3])
            inside = torch.from_numpy(_positions(rows, columns, x.shape[3], planes.shape[2] - 1)).to(x.device)
            value, which = planes[image][:, inside].max(2)
            values.append(value)
            places.append(inside.expand(x.shape[1], -1, -1).gather(2, which.unsqueeze(2)).squeeze(2))
        shape = top[0].shape
        y = torch.stack(values) if values else x.new_zeros(shape)
        top[0].tensor = torch.where(y == -torch.inf, 0, y).reshape(shape)
        self._places = [(image, place) for image, place in zip(images, places)]

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


def _rounded(values: np.ndarray) -> np.ndarray:
    """Whole numbers, halves away from zero as C rounds."""
    return (np.sign(values) * np.floor(np.abs(values) + np.float32(0.5))).astype(int)


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
