"""PriorBox: the default boxes of SSD, of several sizes and shapes around each place of a feature map."""

import math

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.support.registry import Layer, register


@register('PriorBox')
class PriorBox(Layer):
    """Boxes in the first row of the top (1, 2, 4 · boxes), their variances in the second (Liu et al. 2016).

    Bottoms are a feature map and the picture, of which only the sizes count. Around each cell's centre there are for
    every min_size: a square, with a max_size that of side sqrt(min_size · max_size), then one for each further aspect
    ratio. SSD's code takes both sizes as whole numbers: 10.5 is 10. `ratios` are all aspect ratios, 1 first.
    """

    bottoms = 2
    tops = 1
    no_diff_bottoms = (0, 1)
    kept = ()
    reads_back = ()
    no_capture = 'makes its boxes on the host'

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.prior_box_param
        self._check_sizes()
        if len(param.variance) not in (0, 1, 4) or min(param.variance, default=1) <= 0:
            self.error(f'variance is {list(param.variance)}, expected none, 1 or 4 values above 0')
        if any(ratio <= 0 for ratio in param.aspect_ratio):
            self.error(f'aspect_ratio is {list(param.aspect_ratio)}, expected values above 0')
        for whole, parts in (('img_size', ('img_h', 'img_w')), ('step', ('step_h', 'step_w'))):
            self._check_pair(whole, *parts)
        self.ratios = self._all_ratios()

    def _check_sizes(self) -> None:
        param = self.param.prior_box_param
        small, large = list(param.min_size), list(param.max_size)
        if not small or min(small) <= 0:
            self.error(f'min_size is {small}, expected at least one value above 0')
        if large and (len(large) != len(small) or any(b <= a for a, b in zip(small, large))):
            self.error(f'max_size is {large}, expected none or one above each min_size of {small}')

    def _check_pair(self, whole: str, first: str, second: str) -> None:
        param = self.param.prior_box_param
        given = [param.HasField(name) for name in (whole, first, second)]
        if given[0] and any(given[1:]):
            self.error(f'has {whole} as well as {first} or {second}, expected one of both')
        if given[1] != given[2]:
            self.error(f'has one of {first} and {second}, expected both or none')
        if any(getattr(param, name) <= 0 for name, is_given in zip((whole, first, second), given) if is_given):
            self.error(f'{whole} or {first} and {second} are 0 or less, expected more than 0')

    def _all_ratios(self) -> list[float]:
        param, ratios = self.param.prior_box_param, [1.0]
        for ratio in param.aspect_ratio:
            if all(abs(ratio - known) >= 1e-6 for known in ratios):
                ratios += [ratio, 1 / ratio] if param.flip else [ratio]
        return ratios

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for i, blob in enumerate(bottom):
            if len(blob.shape) != 4:
                self.error(f'bottom {i} has shape {blob.shape}, expected 4 axes (num, channels, height, width)')
        param = self.param.prior_box_param
        count = len(self.ratios) * len(param.min_size) + len(param.max_size)
        top[0].reshape(1, 2, bottom[0].height * bottom[0].width * count * 4)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        values = self.values((bottom[0].height, bottom[0].width), (bottom[1].height, bottom[1].width))
        top[0].tensor = torch.from_numpy(values).to(self.device, torch.get_default_dtype())

    def values(self, cells: tuple[int, int], picture: tuple[int, int]) -> np.ndarray:
        """The top for a feature map and a picture of (height, width)."""
        boxes = self._boxes(cells, picture)
        given = list(self.param.prior_box_param.variance) or [0.1]
        variances = np.resize(np.array(given, np.float32), boxes.shape)
        return np.stack([boxes, variances])[None]

    def _boxes(self, cells: tuple[int, int], picture: tuple[int, int]) -> np.ndarray:
        """All corners in a row, relative to the picture, for feature map and picture of (height, width)."""
        param = self.param.prior_box_param
        if param.HasField('img_size'):
            picture = param.img_size, param.img_size
        elif param.HasField('img_h'):
            picture = param.img_h, param.img_w
        steps = [size / count for size, count in zip(picture, cells)]
        if param.HasField('step'):
            steps = [param.step] * 2
        elif param.HasField('step_h'):
            steps = [param.step_h, param.step_w]
        rows, columns = ((np.arange(n) + param.offset) * step for n, step in zip(cells, steps))
        centres = np.stack(np.meshgrid(columns, rows), -1)[:, :, None]  # (rows, columns, 1, 2) of x, y
        halves = np.array(self._sizes()) / 2
        boxes = np.concatenate([centres - halves, centres + halves], -1) / (*picture[::-1], *picture[::-1])
        return np.float32(boxes.clip(0, 1) if param.clip else boxes).reshape(-1)

    def _sizes(self) -> list[tuple[float, float]]:
        """(width, height) in pixels of the boxes of one cell."""
        param = self.param.prior_box_param
        sizes: list[tuple[float, float]] = []
        for i, small in enumerate(map(int, param.min_size)):
            sizes.append((small, small))
            if param.max_size:
                sizes.append((math.sqrt(small * int(param.max_size[i])),) * 2)
            sizes += [(small * math.sqrt(r), small / math.sqrt(r)) for r in self.ratios if abs(r - 1) >= 1e-6]
        return sizes

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for blob, wanted in zip(bottom, propagate_down):
            if wanted:
                blob.clear_grad()  # values do not matter, only sizes do
