"""ProposalTarget: which proposed regions a detector learns from, and what it learns from them (MS-CNN)."""

import numpy as np
import torch

from caffe import random
from caffe.blobs.blob import Blob
from caffe.data.boxes import overlaps
from caffe.layers.regions.codes import encode, extents, scaling_of
from caffe.layers.support.registry import BlobCount, Layer, register

_LEAST = 32  # pixels of a random region's sides
_TRIES = 1000


@register('ProposalTarget')
class ProposalTarget(Layer):
    """`batch_size` regions: round(fg_fraction · batch_size) of objects, or fewer, then of the background.

    Bottoms: regions (R, 5), image and corners, and true boxes (G, 7): image, corners, class, whether it is ignored.
    The true boxes are regions, too. A region is an object's if it overlaps the true box of its image that it overlaps
    most by `fg_thr` or more, and that is not ignored; below that the background's if it does by `bg_thr_lw` up to
    `bg_thr_hg`. Where there are too many they are drawn; where there is too little background the first of the others
    below `fg_thr` fill up, and then random ones of img_width × img_height pixels. With `batch_size: -1` all of objects
    and background are taken, one random region at least.

    Tops, all (R', …, 1, 1): regions (5); classes (1), 0 for the background; codes of the true boxes (4 · cls_num),
    those of the class and 0 elsewhere; twice the weights of these, 1 and 0; what objects match (6), class, corners and
    overlap; and, for a seventh top, weights (1) that give objects `fg_fraction` of the sum, R', and with `iou_weighted`
    each in proportion to its overlap. With `cls_aware: false` in `bbox_reg_param` codes are (8), the last 4 of objects
    of all classes. Bottoms get no gradient.
    """

    bottoms = 2
    tops: BlobCount = (6, 7)
    open_axes = (0,)
    no_diff_bottoms = (0, 1)
    kept = ()
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.proposal_target_param
        if param.batch_size < 1 and param.batch_size != -1:
            self.error(f'batch_size is {param.batch_size}, expected at least 1, or -1 for all regions')
        if not 0 < param.fg_thr or param.fg_thr < param.bg_thr_hg:
            self.error(f'fg_thr is {param.fg_thr:g}, bg_thr_hg {param.bg_thr_hg:g}, expected 0 < fg_thr >= bg_thr_hg')
        if min(param.img_width, param.img_height) <= _LEAST:
            self.error(f'img_width, img_height are {param.img_width}, {param.img_height}, expected more than {_LEAST}')
        if not param.cls_num or not param.num_img_per_batch:
            self.error('cls_num or num_img_per_batch is 0, expected at least 1 each')
        self.scaling = scaling_of(self, param if param.bbox_mean else self.param.bbox_reg_param)
        self.aware = self.param.bbox_reg_param.cls_aware

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob, values in zip(bottom, (5, 7)):
            if len(blob.shape) < 2 or blob.shape[1] != values or blob.count != blob.shape[0] * values:
                self.error(f"bottom '{blob.name}' has shape {blob.shape}, expected (boxes, {values})")
        count = self.param.proposal_target_param.batch_size
        count = bottom[0].shape[0] if count < 0 else count
        codes = 4 * self.param.proposal_target_param.cls_num if self.aware else 8
        for blob, values in zip(top, (5, 1, codes, codes, codes, 6, 1)):
            blob.reshape(count, values, 1, 1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        regions, truth = (blob.tensor.float().cpu().numpy().reshape(blob.shape[:2]) for blob in bottom)
        self._check(regions, truth)
        regions = np.concatenate([regions, truth[:, :5]])
        match, overlap = _matches(regions, truth)
        objects, background = self._chosen(match, overlap, truth)
        wanted = max(self.param.proposal_target_param.batch_size, 1)
        missing = max(wanted - len(objects) - len(background), 0)
        rows = np.concatenate([regions[objects], regions[background], self._random_regions(missing, truth)])
        true = truth[match[objects]]
        codes = encode(true[:, 1:5], regions[objects, 1:], self.scaling)
        values = self._values(rows, true, codes, overlap[objects])
        for blob, array in zip(top, values):
            blob.reshape(len(rows), array.shape[1], 1, 1)
            tensor = torch.tensor(array.reshape(blob.shape), dtype=torch.get_default_dtype())
            blob.tensor = tensor.to(self.device)

    def _check(self, regions: np.ndarray, truth: np.ndarray) -> None:
        """CaffeError for images beyond `num_img_per_batch`, and for classes that are not there."""
        param = self.param.proposal_target_param
        for what, images in (('regions', regions[:, 0]), ('true boxes', truth[:, 0])):
            if len(images) and not 0 <= images.min() <= images.max() < param.num_img_per_batch:
                last = param.num_img_per_batch - 1
                self.error(f'has {what} of images {images.min():g} to {images.max():g}, expected 0 to {last}')
        classes = truth[:, 5]
        if len(classes) and not 0 < classes.min() <= classes.max() < param.cls_num:
            last = param.cls_num - 1
            self.error(f'has true boxes of classes {classes.min():g} to {classes.max():g}, expected 1 to {last}')

    def _chosen(self, match: np.ndarray, overlap: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the regions of objects and of the background that are learned from."""
        param = self.param.proposal_target_param
        high = overlap >= np.float32(param.fg_thr)
        ignored = np.append(truth[:, 6], 0)[match] != 0
        among = (overlap >= np.float32(param.bg_thr_lw)) & (overlap < np.float32(param.bg_thr_hg)) & ~high
        objects, background, others = (np.flatnonzero(kind) for kind in (high & ~ignored, among, ~high & ~among))
        if param.batch_size < 0:
            return objects, background
        most = int(np.floor(np.float32(param.fg_fraction) * np.float32(param.batch_size) + np.float32(0.5)))
        objects = self._some(objects, most)
        left = param.batch_size - len(objects)
        background = self._some(background, left)
        return objects, np.concatenate([background, others[: left - len(background)]])

    def _some(self, indices: np.ndarray, most: int) -> np.ndarray:
        """The indices, or `most` random ones where there are more."""
        if len(indices) <= most:
            return indices
        order = torch.randperm(len(indices), generator=random.generator(self.device), device=self.device)
        return indices[order[:most].cpu().numpy()]

    def _random_regions(self, count: int, truth: np.ndarray) -> np.ndarray:
        """Random regions (count, 5) of the background."""
        param = self.param.proposal_target_param
        found: np.ndarray = np.zeros((0, 5), np.float32)
        for _ in range(_TRIES if count else 0):
            draws = torch.rand(count, 5, generator=random.generator(self.device), device=self.device).cpu().numpy()
            pictures = np.array([param.img_width, param.img_height])
            corner = np.floor(draws[:, 1:3] * (pictures - _LEAST))
            size = np.maximum(np.floor(draws[:, 3:] * (pictures - corner)), _LEAST)
            image = np.floor(draws[:, 0] * param.num_img_per_batch)
            rows = np.column_stack([image, corner, corner + size - 1]).astype(np.float32)
            found = np.concatenate([found, rows[_matches(rows, truth)[1] < np.float32(param.fg_thr)]])
            if len(found) >= count:
                return found[:count]
        if count:
            self.error(f'{_TRIES} times found no random region below fg_thr {param.fg_thr:g}, expected a larger one')
        return found

    def _values(
        self, regions: np.ndarray, true: np.ndarray, codes: np.ndarray, overlap: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """The tops' values (R', …) for regions of which the first are those of objects."""
        param, objects = self.param.proposal_target_param, len(true)
        classes = np.zeros((len(regions), 1), np.float32)
        classes[:objects, 0] = true[:, 5]
        slots = true[:, 5].astype(int) if self.aware else np.ones(objects, int)
        table, inside = np.zeros((2, len(regions), param.cls_num if self.aware else 2, 4), np.float32)
        table[np.arange(objects), slots] = codes
        inside[np.arange(objects), slots] = 1
        matches = np.zeros((len(regions), 6), np.float32)
        matches[:objects] = np.column_stack([true[:, 5], true[:, 1:5], overlap])
        table, inside = (values.reshape(len(regions), -1) for values in (table, inside))
        return regions, classes, table, inside, inside, matches, self._weights(overlap, len(regions))

    def _weights(self, overlap: np.ndarray, count: int) -> np.ndarray:
        """The weights (R', 1) of regions of which the first, with these overlaps, are those of objects."""
        param = self.param.proposal_target_param
        weights = np.ones((count, 1), np.float32)
        own, others = weights[: len(overlap), 0], weights[len(overlap) :, 0]
        if param.iou_weighted:
            own[:] = overlap
        if own.sum():
            own *= param.fg_fraction * count / own.sum()
            others *= (1 - param.fg_fraction) * count / max(len(others), 1)
        return weights


def _matches(regions: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each region the true box of its image that it overlaps most, −1 without any, and by how much."""
    if not len(truth):
        return np.full(len(regions), -1), np.zeros(len(regions), np.float32)
    found = overlaps(extents(regions[:, 1:]), extents(truth[:, 1:5]))
    found[regions[:, :1] != truth[:, 0]] = -1
    match, overlap = found.argmax(1), found.max(1)
    return np.where(overlap < 0, -1, match), np.maximum(overlap, 0)
