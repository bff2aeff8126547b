"""What pooling over regions has in common: bottoms, the number of bins, and whose pictures regions are of."""

import numpy as np

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer


class RegionPooling(Layer):
    """Bottoms x (N, C, H, W) and regions (R, 5): image, x1, y1, x2, y2; top (R, C, *of_region), by `roi_pooling_param`.

    Regions get no gradient.
    """

    bottoms = 2
    tops = 1
    no_diff_bottoms = (1,)
    reads_back = ()
    no_capture = 'cuts its regions on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.roi_pooling_param
        self.bins = param.pooled_h, param.pooled_w
        if 0 in self.bins:
            self.error(f'pooled_h, pooled_w are {self.bins}, expected at least 1 each')

    @property
    def of_region(self) -> tuple[int, int]:
        """Height and width of what a region becomes."""
        return self.bins

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, regions = bottom[0].shape, bottom[1].shape
        self.check_picture(shape)
        if not regions or bottom[1].count != regions[0] * 5:
            self.error(f'regions have shape {regions}, expected (regions, 5)')
        top[0].reshape(regions[0], shape[1], *self.of_region)

    def regions_of(self, bottom: list[Blob]) -> tuple[np.ndarray, np.ndarray]:
        """(the image (R) of each region, its corners (R, 4) in float32); CaffeError for an image that is not there."""
        images, regions = bottom[0].shape[0], bottom[1].tensor.float().cpu().numpy().reshape(-1, 5)
        own = regions[:, 0].astype(int)
        if len(own) and not 0 <= own.min() <= own.max() < images:
            self.error(f'has regions of images {own.min()} to {own.max()}, expected 0 to {images - 1}')
        return own, regions[:, 1:]


def nearest(values: np.ndarray) -> np.ndarray:
    """The nearest whole numbers as float32, halves away from zero as C rounds."""
    return np.trunc(values + np.copysign(np.float32(0.5), values))
