"""PSROIPooling: means over the parts of regions, each part from channels of its own (R-FCN, Dai et al. 2016)."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.regions.region_pooling import nearest
from caffe.layers.support.registry import Layer, register


@register('PSROIPooling')
class PSROIPooling(Layer):
    """Top (R, output_dim, G, G), G = group_size: the mean of channel (c · G + i) · G + j over part (i, j) of a region.

    Bottoms: X (N, output_dim · G², H, W) and regions (R, 5): image, x1, y1, x2, y2 in pixels of the input. A region
    reaches from round(x1) · spatial_scale to (round(x2) + 1) · spatial_scale, 0.1 at least; its parts are widened to
    whole cells and clipped to the map. A part without cells is 0. Regions get no gradient.
    """

    bottoms = 2
    tops = 1
    no_diff_bottoms = (1,)
    kept = ('_parts',)
    reads_back = ()
    no_capture = 'cuts its regions on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.psroi_pooling_param
        if param.output_dim <= 0 or param.group_size <= 0:
            self.error('output_dim or group_size is not above 0')
        self.size = param.group_size

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, regions = bottom
        channels = self.param.psroi_pooling_param.output_dim * self.size**2
        if len(x.shape) != 4 or x.shape[1] != channels:
            self.error(f"bottom '{x.name}' has shape {x.shape}, expected 4 axes and {channels} channels")
        if not regions.shape or regions.count != regions.shape[0] * 5:
            self.error(f"bottom '{regions.name}' has shape {regions.shape}, expected 5 values for each region")
        top[0].reshape(regions.shape[0], channels // self.size**2, self.size, self.size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].tensor
        maps = x.reshape(len(x), -1, self.size, self.size, *x.shape[2:])
        self._parts = self._find_parts(bottom[1].tensor.float().cpu().numpy().reshape(-1, 5), x)
        means = [torch.einsum('cijhw,ih,jw->cij', maps[image], *shares) for image, *shares in self._parts]
        top[0].tensor = torch.stack(means) if means else x.new_zeros(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.refuse_gradient(propagate_down, 1, 'regions')
        if not propagate_down[0]:
            return
        dx = torch.zeros_like(bottom[0].tensor)
        maps = dx.reshape(len(dx), -1, self.size, self.size, *dx.shape[2:])
        for (image, *shares), dy in zip(self._parts, top[0].grad):
            maps[image] += torch.einsum('cij,ih,jw->cijhw', dy, *shares)
        bottom[0].grad = dx

    def _find_parts(self, regions: np.ndarray, x: torch.Tensor) -> list[tuple]:
        """[(image, shares of rows (G, H), shares of columns (G, W))]: what each cell counts for in a part's mean."""
        images = regions[:, 0].astype(int)
        if len(images) and not (0 <= images.min() and images.max() < len(x)):
            self.error(f'regions are of images {images.min()} to {images.max()}, expected 0 to {len(x) - 1}')
        corners = nearest(regions[:, 1:])
        scale = np.float32(self.param.psroi_pooling_param.spatial_scale)
        starts, ends = corners[:, :2] * scale, (corners[:, 2:] + 1) * scale
        rows, columns = (self._shares(starts[:, axis], ends[:, axis], x.shape[3 - axis]).to(x) for axis in (1, 0))
        return list(zip(images.tolist(), rows, columns))

    def _shares(self, start: np.ndarray, end: np.ndarray, length: int) -> torch.Tensor:
        """(R, G, length): 1 / number of cells for the cells of each part along one axis, 0 elsewhere."""
        step = np.maximum(end - start, np.float32(0.1))[:, None] / np.float32(self.size)
        part = np.arange(self.size, dtype=np.float32)
        first = np.floor(part * step + start[:, None]).clip(0, length)
        last = np.ceil((part + 1) * step + start[:, None]).clip(0, length)
        cells = np.arange(length)
        inside = (cells >= first[..., None]) & (cells < last[..., None])
        counts = np.maximum(inside.sum(-1, keepdims=True), 1)
        return torch.from_numpy(inside / counts)
