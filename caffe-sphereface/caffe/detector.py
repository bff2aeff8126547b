"""Detector: scores of windows cut out of pictures, as R-CNN needs them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from caffe import io
from caffe.errors import CaffeError
from caffe.io.transformer import picture_transformer
from caffe.net.net import Net
from caffe.proto.caffe_pb2 import TEST


class Detector(Net):
    """A net in TEST phase that scores windows of pictures.

    `context_pad` is how many pixels of surroundings, at the net's input size, a window brings along. The other
    arguments are those of caffe.io.Transformer.
    """

    def __init__(
        self,
        model_file: str,
        pretrained_file: str,
        mean: ArrayLike | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
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
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, ArrayLike]]) -> list[dict[str, Any]]:
        """Score windows: `images_windows` is a sequence of (picture file, windows (ymin, xmin, ymax, xmax)).

        Returns a list of {'window', 'prediction', 'filename'}, one per window.
        """
        given = [(name, np.atleast_2d(windows)) for name, windows in images_windows]
        crops: list[np.ndarray] = []
        for filename, windows in given:
            image = io.load_image(filename).astype(np.float32)
            crops.extend(self.crop(image, window) for window in windows)
        if not crops:
            return []
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(**{name: data})[self.outputs[0]]
        scores = scores.reshape(len(crops), -1) if scores.ndim == 4 and scores.shape[2:] == (1, 1) else scores
        flat = [(filename, window) for filename, windows in given for window in windows]
        return [
            {'window': window, 'prediction': score, 'filename': filename}
            for (filename, window), score in zip(flat, scores)
        ]

    def detect_selective_search(self, image_fnames: Iterable[str]) -> list[dict[str, Any]]:
        """Score the windows that the package selective_search_ijcv_with_python proposes."""
        try:
            import selective_search_ijcv_with_python as selective_search  # type: ignore[import-not-found]
        except ImportError:
            raise CaffeError(
                'Detector: detect_selective_search needs the package selective_search_ijcv_with_python, '
                'expected it on sys.path (detect_windows takes windows from anywhere)'
            ) from None
        image_fnames = [str(name) for name in image_fnames]
        windows = selective_search.get_windows(image_fnames, cmd='selective_search_rcnn')
        return self.detect_windows(zip(image_fnames, windows))

    def crop(self, im: np.ndarray, window: ArrayLike) -> np.ndarray:
        """The part of a picture (H, W, K) inside a window, with its context where `context_pad` is set.

        What lies outside the picture is filled with the mean.
        """
        corners = np.asarray(window).astype(int)
        if not self.context_pad:
            return im[corners[0] : corners[2], corners[1] : corners[3]]
        size = self.blobs[self.inputs[0]].width
        box = _grown(corners, size / (size - 2 * self.context_pad))
        scale = size / (box[2:] - box[:2] + 1)
        pad = np.round(np.maximum(0, -box[:2]) * scale).astype(int)
        box = np.clip(box, 0, np.tile(im.shape[:2], 2)).astype(int)
        dims = np.round((box[2:] - box[:2] + 1) * scale).astype(int)
        dims = np.minimum(dims, size - pad)
        part = io.resize_image(im[box[0] : box[2], box[1] : box[3]], dims)
        out = np.ones(self.crop_dims, np.float32) * self.crop_mean
        out[pad[0] : pad[0] + dims[0], pad[1] : pad[1] + dims[1]] = part
        return out

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context and the mean to fill with, in the picture's own axes, channels and scale."""
        name = self.inputs[0]
        back = np.argsort(self.transformer.transpose[name])
        self.crop_dims = np.array(self.blobs[name].shape[1:])[back]
        self.context_pad = context_pad
        if not context_pad:
            return
        mean = self.transformer.mean.get(name)
        if mean is None:
            self.crop_mean = np.zeros(self.crop_dims, np.float32)
            return
        self.crop_mean = np.array(mean).transpose(back)
        swap = self.transformer.channel_swap.get(name)
        if swap is not None:
            self.crop_mean = self.crop_mean[:, :, np.argsort(swap)]
        if self.transformer.raw_scale.get(name) is not None:
            self.crop_mean = self.crop_mean / self.transformer.raw_scale[name]


def _grown(window: np.ndarray, factor: float) -> np.ndarray:
    """A window (ymin, xmin, ymax, xmax, the last pixels included) scaled about its centre, in whole pixels."""
    half = (window[2:] - window[:2] + 1) / 2
    centre = window[:2] + half
    return np.round(np.concatenate([centre - factor * half, centre + factor * half]))
