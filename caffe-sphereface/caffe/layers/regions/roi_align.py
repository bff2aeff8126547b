"""ROIAlign: values of a map at the corners of the bins of regions, between pixels (Cai, Vasconcelos 2018)."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.regions.region_pooling import RegionPooling
from caffe.layers.support.registry import register


@register('ROIAlign')
class ROIAlign(RegionPooling):
    """Bottoms x (N, C, H, W) and regions (R, 5): image, x1, y1, x2, y2; top (R, C, pooled_h + 1, pooled_w + 1).

    A region, widened on each side by `pad_ratio` of its width and height, reaches from x1 · s − ½ to x2 · s − ½ in
    pixels of the map, s = `spatial_scale`, and is parted into pooled_w × pooled_h bins without rounding. Their corners
    get the value between the four pixels around them; beyond the map by more than half a pixel it is 0, and in regions
    without a size. A Pooling of means behind it gives each bin the mean of its corners. Regions get no gradient.
    """

    kept = ('_samples',)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().setup(bottom, top)
        self._samples: list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]] = []

    @property
    def of_region(self) -> tuple[int, int]:
        return self.bins[0] + 1, self.bins[1] + 1

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        y = x.new_zeros(*top[0].shape[:2], (self.bins[0] + 1) * (self.bins[1] + 1))
        self._samples = self._find_samples(bottom)
        for image, rows, pixels, weights in self._samples:
            around = x[image].flatten(1)[:, pixels.flatten()].reshape(x.shape[1], *pixels.shape)
            y[rows] = (around * weights).sum(1).transpose(0, 1)
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'regions')
        if not propagate_down[0]:
            return
        dx, dy = torch.zeros_like(bottom[0].tensor).flatten(2), top[0].grad.flatten(2)
        for image, rows, pixels, weights in self._samples:
            parts = dy[rows].transpose(0, 1).unsqueeze(1) * weights
            dx[image].index_add_(1, pixels.flatten(), parts.flatten(1))
        bottom[0].grad = dx.reshape(bottom[0].shape)

    def _find_samples(self, bottom: list[Blob]) -> list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """[(image, its regions (r), pixels (4, r, corners) around the bins' corners, their weights)]."""
        x, (images, corners) = bottom[0].tensor, self.regions_of(bottom)
        (left, across), (upper, along) = (self._ends(corners, axis) for axis in (0, 1))
        sized = (across > 0) & (along > 0)
        rows = _between(upper, along, self.bins[0], x.shape[2], sized)
        columns = _between(left, across, self.bins[1], x.shape[3], sized)
        # two pixels along each axis make four
        pixels = rows[0][:, None, :, :, None] * x.shape[3] + columns[0][None, :, :, None]
        weights = rows[1][:, None, :, :, None] * columns[1][None, :, :, None]
        pixels, weights = (values.reshape(4, len(corners), -1) for values in (pixels, weights))
        found = []
        for image in np.unique(images):
            own = np.flatnonzero(images == image)
            parts = (torch.from_numpy(values).to(x.device) for values in (own, pixels[:, own]))
            found.append((int(image), *parts, torch.from_numpy(weights[:, own]).to(x)))
        return found

    def _ends(self, corners: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the regions begin along an axis of the map, and their sizes, both (R)."""
        param = self.param.roi_pooling_param
        low, high = corners[:, axis], corners[:, 2 + axis]
        around = (high - low + 1) * np.float32(param.pad_ratio)
        scale, half = np.float32(param.spatial_scale), np.float32(0.5)
        start = (low - around) * scale - half
        return start, (high + around) * scale - half - start


def _between(
    start: np.ndarray, size: np.ndarray, bins: int, length: int, sized: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The two pixels (2, R, bins + 1) along an axis of `length` between which borders lie, and their weights."""
    places = start[:, None] + np.arange(bins + 1, dtype=np.float32) * (size / np.float32(bins))[:, None]
    inside = sized[:, None] & (places >= -0.5) & (places <= length - 0.5)
    places = np.clip(places, 0, length - 1)
    low = np.floor(places)
    share = places - low
    pixels = np.stack([low, np.minimum(low + 1, length - 1)]).astype(int)
    return pixels, np.stack([1 - share, share]) * inside
