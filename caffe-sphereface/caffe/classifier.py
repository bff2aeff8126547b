"""Classifier: a net that takes pictures and gives class scores."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from caffe import io
from caffe.io.transformer import picture_transformer
from caffe.net.net import Net
from caffe.proto.caffe_pb2 import TEST


class Classifier(Net):
    """A net in TEST phase with the preprocessing of its pictures.

    `image_dims` (height, width) is the size that pictures are scaled to before cropping; it defaults to the net's input
    size. The other arguments are those of caffe.io.Transformer.
    """

    def __init__(
        self,
        model_file: str,
        pretrained_file: str,
        image_dims: Sequence[int] | None = None,
        mean: ArrayLike | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        name = self.inputs[0]
        self.transformer = picture_transformer(
            name,
            self.blobs[name].shape,
            mean=mean,
            input_scale=input_scale,
            raw_scale=raw_scale,
            channel_swap=channel_swap,
        )
        self.crop_dims = self.blobs[name].shape[2:]
        self.image_dims = self.crop_dims if not image_dims else image_dims

    def predict(self, inputs: Iterable[np.ndarray], oversample: bool = True) -> np.ndarray:
        """Scores (pictures, classes) of pictures (H, W, K).

        With `oversample` the mean over ten crops of each (corners, centre, mirrored), else of the centre alone.
        """
        images = np.stack([io.resize_image(picture, self.image_dims) for picture in inputs])
        crops = io.oversample(images, self.crop_dims) if oversample else self._centre(images)
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(**{name: data})[self.outputs[0]]
        return scores.reshape(len(scores) // 10, 10, -1).mean(1) if oversample else scores

    def _centre(self, images: np.ndarray) -> np.ndarray:
        top, left = (int(size / 2 - crop / 2) for size, crop in zip(self.image_dims, self.crop_dims))
        return images[:, top : top + self.crop_dims[0], left : left + self.crop_dims[1]]
