"""ImageGtData: parts of pictures with labels for maps on several scales, and with their true boxes (MS-CNN)."""

from functools import lru_cache

import numpy as np
import torch

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer, picture_generator
from caffe.data.feed import Feed, Order, own_generator
from caffe.data.pictures import decode_picture, read_small
from caffe.data.prefetch.batch import NewRow
from caffe.data.scenes.cell_labels import CHANNELS, CellMap, Truth, cell_labels
from caffe.data.scenes.crop import Crop, Cropper
from caffe.data.scenes.marked_pictures import MarkedPicture, read_marked_pictures
from caffe.errors import CaffeError
from caffe.layers.support.registry import BlobCount, Layer, register
from caffe.proto import caffe_pb2

_BOX = 6  # corners, class, ignored
_NO_BOX = (0, 1, 1, 2, 2, 1, 1)


@register('ImageGtData')
class ImageGtData(Layer):
    """Batches (N, 3, H, W) of a window file, labels (N, 6, h, w) of cells for each `downsample_rate`, and true boxes.

    `source` is a file as `caffe.data.scenes.marked_pictures` reads it, H × W is crop_height × crop_width, or else
    resize_height × resize_width, or else the size of the file's last picture. `caffe.data.scenes.crop` says which part
    of a picture is taken, in TEST too, and `caffe.data.scenes.cell_labels` what cells are labelled with. Pixels less
    `mean_value`, times `scale`; beside a smaller picture there is 0. With `output_gt_boxes` the last top (G, 7, 1, 1)
    has the true boxes of all pictures: image, corners, class, and whether they are ignored, as the file says, or
    because their middle lies outside or a side is less than `min_gt_width` or `min_gt_height`; without any one that is
    ignored. `fg_img_multiple` takes pictures with boxes to learn from that many times.
    """

    bottoms = 0
    values_from = 'files'
    tops: BlobCount = (2, None)
    open_axes = (0,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, transform = self.param.image_gt_data_param, self.param.transform_param
        self._check(len(top))
        try:
            pictures = read_marked_pictures(param.source)
        except CaffeError as error:
            self.error(str(error))
        frame = self._frame(pictures[-1])
        self._maps = [CellMap(*one) for one in zip(param.downsample_rate, param.field_w, param.field_h)]
        self._shapes = [(CHANNELS, *one.shape(frame)) for one in self._maps]
        most = max(len(picture.labels) for picture in pictures)
        # the frame around a picture stays zero after the mean is subtracted, so that `load` does all arithmetic itself
        nothing = Transformer(caffe_pb2.TransformationParameter(), self.phase)
        nothing.seeds_pictures = True
        multiples = [1 if picture.ignored.all() else param.fg_img_multiple for picture in pictures]
        repeated = [picture for picture, count in zip(pictures, multiples) for _ in range(count)]
        generator = own_generator()
        order = Order(len(repeated), param.shuffle, 0, generator)
        load = _Loader(self.param, repeated, Cropper(param, *frame, transform.mirror), self._maps, most)
        # labels are an array each
        self._feed = Feed(self, nothing, order.step, load, param.batch_size, generator, divisible=False)
        self._labels = Blob()
        self._feed.shape_tops(self, [top[0], self._labels], order.peek())
        for blob, shape in zip(top[1:], self._shapes):
            blob.reshape(param.batch_size, *shape)
        if param.output_gt_boxes:
            top[-1].reshape(1, 7, 1, 1)
        log.info('image_gt_data_layer.cpp:195', f'output data size: {",".join(map(str, top[0].shape))}')

    def _check(self, tops: int) -> None:
        """CaffeError for parameters that do not fit each other."""
        param, transform = self.param.image_gt_data_param, self.param.transform_param
        counts = {len(param.downsample_rate), len(param.field_w), len(param.field_h)}
        wanted = 1 + len(param.downsample_rate) + param.output_gt_boxes
        if len(counts) > 1 or 0 in {*param.downsample_rate, *param.field_w, *param.field_h}:
            self.error('has downsample_rate, field_w and field_h, expected as many of each, at least 1')
        if tops != wanted or wanted < 2:
            self.error(
                f'has {tops} top blobs, expected {wanted}: pictures, labels for each downsample_rate, true boxes'
            )
        if param.coord_num != 4:
            self.error(f'coord_num is {param.coord_num}, expected 4')
        allowed = {'mirror', 'mean_value'}
        if {field.name for field, _ in transform.ListFields()} - allowed or param.mirror or param.HasField('mean_file'):
            self.error('expected mirror and mean_value in transform_param, scale in image_gt_data_param, and no others')
        if len(transform.mean_value) not in (0, 1, 3):
            self.error(f'mean_value is given {len(transform.mean_value)} times, expected once or 3 times')
        for what in ('resize', 'crop'):
            sides = [param.HasField(f'{what}_{side}') for side in ('width', 'height')]
            if sides[0] != sides[1]:
                self.error(f'has one of {what}_width and {what}_height, expected both or none')
        if param.do_multiple_scale and param.HasField('max_scale') and not 0 < param.min_scale <= param.max_scale:
            self.error(
                f'min_scale is {param.min_scale}, max_scale {param.max_scale}, expected 0 < min_scale <= max_scale'
            )
        if param.HasField('max_whaspect') and not 0 < param.min_whaspect <= param.max_whaspect - 0.05:
            self.error('expected 0 < min_whaspect and a max_whaspect that is larger by 0.05 at least')
        if not param.fg_img_multiple:
            self.error('fg_img_multiple is 0, expected at least 1')

    def _frame(self, last: MarkedPicture) -> tuple[int, int]:
        """The height and width of the pictures that the net is given."""
        param = self.param.image_gt_data_param
        whole = (param.resize_height, param.resize_width) if param.resize_width else (last.height, last.width)
        frame = param.crop_height or whole[0], param.crop_width or whole[1]
        if param.resize_width and (frame[0] > whole[0] or frame[1] > whole[1]):
            self.error(f'crop_height, crop_width are {frame}, expected {whole} at most, what pictures are resized to')
        if min(frame) < 1:
            self.error(f'pictures of {frame[0]}x{frame[1]} (height x width), expected at least 1 each')
        return frame

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._feed.forward(self, [top[0], self._labels])
        images = self._labels.shape[0]
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        *maps, boxes = self._labels.tensor.split([*sizes, self._labels.shape[1] - sum(sizes)], 1)
        for blob, values, shape in zip(top[1:], maps, self._shapes):
            blob.reshape(images, *shape)
            blob.tensor = values.reshape(blob.shape)
        if not self.param.image_gt_data_param.output_gt_boxes:
            return
        boxes = boxes.reshape(images, -1, _BOX)
        image, index = (boxes[..., 4] > 0).nonzero().unbind(1)
        rows = torch.cat([image.unsqueeze(1).to(boxes.dtype), boxes[image, index]], 1)
        if not len(rows):
            rows = torch.tensor([_NO_BOX], dtype=torch.get_default_dtype()).to(self.device)
        top[-1].reshape(len(rows), 7, 1, 1)
        top[-1].tensor = rows.reshape(top[-1].shape)


class _Loader:
    """Puts a picture's part into its row of the batch, and gives the labels of all cells, then `most` boxes (6)."""

    def __init__(
        self,
        layer: caffe_pb2.LayerParameter,
        pictures: list[MarkedPicture],
        cropper: Cropper,
        maps: list[CellMap],
        most: int,
    ) -> None:
        self.param = layer.image_gt_data_param
        self.pictures, self.cropper, self.maps, self.most = pictures, cropper, maps, most
        self.read = lru_cache(None if self.param.cache_images else 0)(read_small)
        self.mean = np.array(layer.transform_param.mean_value or [0], np.float32)

    def __call__(self, index: int, draw: Draw, new_row: NewRow) -> np.ndarray:
        picture = self.pictures[index]
        path = self.param.root_folder + picture.path
        try:
            image = decode_picture(self.read(path), path, color=True)
        except CaffeError as error:
            raise CaffeError(f'{self.param.source}:{picture.line}: {error}') from None
        boxes = len(picture.labels)
        crop = self.cropper(image, picture.rectangles, boxes, picture_generator(draw))
        self._fill(crop, new_row)
        return self._labels(picture, crop)

    def _fill(self, crop: Crop, new_row: NewRow) -> None:
        width, height = self.cropper.frame.tolist()
        out = new_row((3, height, width), np.dtype('f4'))
        out[...] = 0
        rows, columns = _inside(crop)
        out[:, rows, columns] = ((crop.image - self.mean) * np.float32(self.param.scale)).transpose(2, 0, 1)

    def _labels(self, picture: MarkedPicture, crop: Crop) -> np.ndarray:
        count, rectangles = len(picture.labels), crop.rectangles.astype(np.float32)
        boxes, regions = rectangles[:count], rectangles[count:]
        low, high = boxes[:, :2], boxes[:, 2:]
        middle, least = (low + high) / 2, [self.param.min_gt_width, self.param.min_gt_height]
        beyond = (middle < 0) | (middle >= self.cropper.frame) | (high - low + 1 < least)
        ignored = picture.ignored | beyond.any(1)
        width, height = self.cropper.frame.tolist()
        truth = Truth(boxes, picture.labels, ignored, regions)
        labels = cell_labels(self.maps, truth, (height, width), _inside(crop), self.param.fg_threshold)
        rows = np.zeros((self.most, _BOX), np.float32)
        rows[:count] = np.column_stack([boxes, picture.labels, ignored])
        return np.concatenate([values.reshape(-1) for values in (*labels, rows)])


def _inside(crop: Crop) -> tuple[slice, slice]:
    """The rows and columns of the frame in which a part of a picture lies."""
    height, width = crop.image.shape[:2]
    return slice(crop.top, crop.top + height), slice(crop.left, crop.left + width)
