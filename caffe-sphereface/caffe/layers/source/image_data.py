"""ImageData: pictures and labels from a list of files."""

from collections.abc import Callable

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer
from caffe.data.feed import check_new_size, make_transformer
from caffe.data.picture_list import PictureList, read_list, read_multi_label_list
from caffe.data.pictures import read_picture
from caffe.data.prefetch.batch import Label, NewRow
from caffe.errors import CaffeError
from caffe.layers.support.listed_data import ListedData
from caffe.layers.support.registry import register
from caffe.proto.caffe_pb2 import ImageDataParameter

# fields of VideoData's first version, and of ImageSegData
_OF_OTHERS = (
    'label_type',
    'ignore_label',
    'new_length',
    'use_image',
    'sampling_rate',
    'use_temporal_jitter',
    'mean_value',
    'num_truth_channels',
    'use_byte_input',
    'is_flow',
    'truth_scale',
    'clip_min',
    'clip_max',
)


@register('ImageData')
class ImageData(ListedData):
    """Batches of the pictures (N, C, H, W) and labels (N,) of a list of `path label` lines, over and over.

    With `label_dim` L, of Caffe-ZF, lines have L labels behind a path without spaces, and labels are (N, L).
    All pictures of a batch must have one size, which may change from batch to batch, unless they are resized
    (`new_height`, `new_width`) or cropped.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.image_data_param
        others = [name for name in _OF_OTHERS if param.HasField(name)]
        if others and not (others == ['label_type'] and param.label_type == param.IMAGE):
            self.error(f'has {others[0]}, expected it in a layer of labels of pixels or of clips')
        check_new_size(self, param)
        try:
            log.info('image_data_layer.cpp:38', f'Opening file {param.source}')
            listing = self._read(param)
        except CaffeError as error:
            self.error(str(error))
        log.info('image_data_layer.cpp:63', f'A total of {len(listing.paths)} images.')
        transformer = make_transformer(self)
        load = _loader(listing, param, transformer)
        self.read_ahead(top, param, len(listing.paths), transformer, load, divisible=listing.labels.ndim == 1)
        log.info('image_data_layer.cpp:90', f'output data size: {",".join(map(str, top[0].shape))}')

    def _read(self, param: ImageDataParameter) -> PictureList:
        """The list of pictures, with the labels that this kind of layer gives."""
        return read_multi_label_list(param.source, param.label_dim) if param.label_dim > 1 else read_list(param.source)


@register('MultiLabelImageData')
class MultiLabelImageData(ImageData):
    """ImageData of caffe-windows' fork whose labels (N, L) are the L numbers behind each path, such as landmarks.

    L is what the first line has.
    """

    def _read(self, param: ImageDataParameter) -> PictureList:
        return read_multi_label_list(param.source)


def _loader(
    listing: PictureList, param: ImageDataParameter, transformer: Transformer
) -> Callable[[int, Draw, NewRow], Label]:
    root, color, height, width = param.root_folder, param.is_color, param.new_height, param.new_width

    def load(index: int, draw: Draw, new_row: NewRow) -> Label:
        try:
            image = read_picture(root + listing.paths[index], color, height, width)
            transformer.place(image, draw, new_row)
        except CaffeError as error:
            raise CaffeError(f'{listing.where(index)}: {error}') from None
        return listing.labels[index]

    return load
