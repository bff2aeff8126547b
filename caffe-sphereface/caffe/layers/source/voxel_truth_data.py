"""VideoWithVoxelTruthData: clips, and what is to be predicted of each of their pixels, of C3D's fork."""

from collections.abc import Callable

import numpy as np

from caffe import log
from caffe.blobs.blob import Blob
from caffe.data.augmentation import Draw, Transformer
from caffe.data.picture_list import PathList, read_path_list
from caffe.data.prefetch.batch import Label, NewRow
from caffe.data.video.clips import read_volume
from caffe.errors import CaffeError
from caffe.layers.source.video_data import clip_transformer, place_clip
from caffe.layers.support.listed_data import ListedData
from caffe.layers.support.registry import register
from caffe.proto.caffe_pb2 import VideoDataParameter


@register('VideoWithVoxelTruthData')
class VideoWithVoxelTruthData(ListedData):
    """Batches of clips (N, C, T, H, W) and of the truth of their pixels (N, K, T, H, W), K `num_truth_channels`.

    The list names files of C3D's form: five whole numbers of 32 bits, (1, C + K, T, H, W), and floats or, with
    `use_byte_input`, bytes. Both tops are cropped and mirrored alike. Truth is multiplied by `truth_scale`, or with
    `clip_min` becomes (truth − clip_min) / (clip_max − clip_min), limited to 0 … 1. With `is_flow` a mirrored clip has
    the sign of its first truth, the flow to the right, reversed. VIDEO_SEGMENTATION_DATA is this with bytes.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.video_data_param
        try:
            listing = read_path_list(param.source)
            transformer = clip_transformer(self.param.transform_param, self.phase, 1)
        except CaffeError as error:
            self.error(str(error))
        if param.HasField('clip_min') and not param.clip_max > param.clip_min:
            self.error(f'clip_min {param.clip_min:g} and clip_max {param.clip_max:g}: expected a larger clip_max')
        log.info('video_with_voxel_truth_data_layer.cpp:229', f'A total of {len(listing.paths)} examples.')
        load = _loader(listing, param, transformer)
        self.read_ahead(top, param, len(listing.paths), transformer, load, divisible=False)


def _loader(
    listing: PathList, param: VideoDataParameter, transformer: Transformer
) -> Callable[[int, Draw, NewRow], Label]:
    kind, count = '|u1' if param.use_byte_input else '<f4', param.num_truth_channels

    def load(index: int, draw: Draw, new_row: NewRow) -> Label:
        path = listing.paths[index]
        try:
            values = read_volume(path, kind)
            if not 0 < count < len(values):
                raise CaffeError(f'{path}: has {len(values)} channels, expected more than num_truth_channels, {count}')
            place_clip(values[:-count], transformer, draw, new_row)
        except CaffeError as error:
            raise CaffeError(f'{listing.where(index)}: {error}') from None
        rows, columns = transformer.window(values.shape[2], values.shape[3], draw)
        truth = values[-count:, :, rows, columns]
        return _scaled(_mirrored(truth, param.is_flow) if transformer.flips(draw) else truth, param)

    return load


def _mirrored(truth: np.ndarray, is_flow: bool) -> np.ndarray:
    truth = np.array(truth[..., ::-1])
    if is_flow:
        truth[0] *= -1
    return truth


def _scaled(truth: np.ndarray, param: VideoDataParameter) -> np.ndarray:
    if param.HasField('clip_min'):
        return np.clip((truth - param.clip_min) / (param.clip_max - param.clip_min), 0, 1)
    return truth * np.float32(param.truth_scale)
