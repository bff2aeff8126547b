"""BoxOutput: regions that a detector on maps of several strides proposes (MS-CNN, Cai et al. 2016)."""

import numpy as np
import torch

from caffe.blobs.blob import Blob
from caffe.layers.regions.codes import Fields, scaling_of
from caffe.layers.support.registry import BlobCount, Layer, register


@register('BoxOutput')
class BoxOutput(Layer):
    """Tops (R, 5, 1, 1), image, x1, y1, x2, y2 in pixels of the input, and (R, 6, 1, 1) with the score, best first.

    Bottoms are maps (N, K + 4, H, W): scores of the background and K − 1 classes, and x, y, w, h of the box relative to
    `field_w`, `field_h` about the middle of a cell of `downsample_rate` pixels. x and y are kept within ±1 / field_xyr,
    w and h within ±log(field_whr); `bbox_reg_param` scales and shifts all four before. A box is clipped to the input
    and proposed if its best class exceeds the background by `fg_thr`, if both sides have `min_size`, and if it overlaps
    no better one by more than `iou_thr`: of the union (IOU), the smaller box (IOMU) or the better box (IOFU). Without
    any there is the region 0, 1, 1, 10, 10. Bottoms get no gradient.
    """

    bottoms: BlobCount = (1, None)
    tops: BlobCount = (1, 2)
    open_axes = (0,)
    kept = ()
    reads_back = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.box_output_param
        counts = {len(param.field_w), len(param.field_h), len(param.downsample_rate)}
        if counts != {len(bottom)}:
            self.error(
                f'has {len(bottom)} bottoms, {len(param.field_w)} field_w, {len(param.field_h)} field_h and '
                f'{len(param.downsample_rate)} downsample_rate, expected as many of each'
            )
        if param.nms_type not in ('IOU', 'IOMU', 'IOFU'):
            self.error(f"nms_type is '{param.nms_type}', expected IOU, IOMU or IOFU")
        sizes = zip(param.field_w, param.field_h, param.downsample_rate)
        self.fields = [Fields(*size, param.field_xyr, param.field_whr) for size in sizes]
        problem = next(filter(None, (fields.problem() for fields in self.fields)), None)
        if problem:
            self.error(problem)
        self.scaling = scaling_of(self, self.param.bbox_reg_param)
        self.no_diff_bottoms = range(len(bottom))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        first = bottom[0].shape
        for blob in bottom:
            if len(blob.shape) != 4 or blob.shape[:2] != first[:2] or first[1] < 6:
                self.error(
                    f"bottom '{blob.name}' has shape {blob.shape}, expected 4 axes, images and channels as in the "
                    'others, and channels for two classes and 4 coordinates'
                )
        for blob, values in zip(top, (5, 6)):
            blob.reshape(1, values, 1, 1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        maps = [blob.tensor.float().cpu().numpy() for blob in bottom]
        rows = np.concatenate([self._rows(image, [values[image] for values in maps]) for image in range(len(maps[0]))])
        found = len(rows) > 0
        if not found:
            rows = np.array([[0, 1, 1, 10, 10, 0]], np.float32)
        for blob, values in zip(top, (5, 6)):
            blob.reshape(len(rows), values, 1, 1)
            part = rows[:, :values] if found or values == 5 else 0 * rows
            tensor = torch.tensor(part.reshape(len(rows), values, 1, 1), dtype=torch.get_default_dtype())
            blob.tensor = tensor.to(self.device)

    def _rows(self, image: int, maps: list[np.ndarray]) -> np.ndarray:
        """(R, 6): image, corners and score of what is proposed in an image, of which these are the maps."""
        param = self.param.box_output_param
        boxes, scores = (np.concatenate(part) for part in zip(*(self._boxes(i, one) for i, one in enumerate(maps))))
        keep = (scores >= np.float32(param.fg_thr)) & (
            boxes[:, 2:].min(1, initial=np.inf) >= np.float32(param.min_size)
        )
        boxes, scores = boxes[keep], scores[keep]
        # of equal scores the last comes first
        order = np.lexsort((-np.arange(len(scores)), -scores))[: param.max_nms_num or None]
        kept = order[self._suppressed(boxes[order])][: param.max_post_nms_num or None]
        ends = boxes[kept, :2] + boxes[kept, 2:]
        return np.column_stack([np.full(len(kept), image), boxes[kept, :2], ends, scores[kept]]).astype(np.float32)

    def _boxes(self, index: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (H · W, 4) as corner and size, and by how much their best class exceeds the background."""
        fields = self.fields[index]
        height, width = values.shape[1:]
        flat = values.reshape(len(values), -1).T
        scores = flat[:, 1:-4].max(1) - flat[:, 0]
        corner, size = fields.boxes(self.scaling.undo(flat[:, -4:]), height, width)
        corner = np.maximum(corner, 0)
        size = np.minimum(size, np.array([width, height], np.float32) * np.float32(fields.rate) - corner)
        return np.hstack([corner, size]), scores

    def _suppressed(self, boxes: np.ndarray) -> list[int]:
        """Indices of those boxes, best first, that no better one of the kept suppresses."""
        param = self.param.box_output_param
        left: np.ndarray = np.arange(len(boxes))
        kept: list[int] = []
        ends, areas = boxes[:, :2] + boxes[:, 2:], boxes[:, 2] * boxes[:, 3]
        while len(left):
            best, left = left[0], left[1:]
            kept.append(int(best))
            sides = np.minimum(ends[best], ends[left]) - np.maximum(boxes[best, :2], boxes[left, :2])
            common = np.maximum(sides, 0).prod(1)
            whole = {
                'IOU': areas[best] + areas[left] - common,
                'IOMU': np.minimum(areas[best], areas[left]),
                'IOFU': areas[best],
            }[param.nms_type]
            left = left[common <= np.float32(param.iou_thr) * whole]
        return kept

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for i in range(len(bottom)):
            self.refuse_gradient(propagate_down, i, 'what is sorted and suppressed')
