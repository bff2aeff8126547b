"""From pictures to net inputs and back: caffe.io.Transformer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from caffe.errors import CaffeError
from caffe.io.resize import resize_image


class Transformer:
    """What to do with pictures before they enter each input of a net.

    `inputs` maps input names to blob shapes (N, C, H, W). Nothing is done that was not set; what was is done in the
    order resize, transpose, channel swap, raw scale, mean, input scale.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise CaffeError(f"Transformer: '{in_}' is not one of the net inputs: {sorted(self.inputs)}")
        return tuple(self.inputs[in_])

    def preprocess(self, in_: str, data: ArrayLike) -> np.ndarray:
        """A picture (H', W', K) as the float32 array (K, H, W) that input `in_` takes."""
        size = self._shape(in_)[2:]
        out = np.asarray(data).astype(np.float32, copy=False)
        if out.shape[:2] != size:
            out = resize_image(out, size)
        if self.transpose.get(in_) is not None:
            out = out.transpose(self.transpose[in_])
        if self.channel_swap.get(in_) is not None:
            out = out[list(self.channel_swap[in_]), :, :]
        if self.raw_scale.get(in_) is not None:
            out = out * np.float32(self.raw_scale[in_])
        if self.mean.get(in_) is not None:
            out = (out - self.mean[in_]).astype(np.float32, copy=False)
        if self.input_scale.get(in_) is not None:
            out = out * np.float32(self.input_scale[in_])
        return out

    def deprocess(self, in_: str, data: ArrayLike) -> np.ndarray:
        """Undo `preprocess`, except for the resizing."""
        self._shape(in_)
        out = np.array(data).squeeze()
        if self.input_scale.get(in_) is not None:
            out = out / self.input_scale[in_]
        if self.mean.get(in_) is not None:
            out = out + self.mean[in_]
        if self.raw_scale.get(in_) is not None:
            out = out / self.raw_scale[in_]
        if self.channel_swap.get(in_) is not None:
            out = out[np.argsort(self.channel_swap[in_]), :, :]
        if self.transpose.get(in_) is not None:
            out = out.transpose(np.argsort(self.transpose[in_]))
        return out

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of the picture's axes in the blob: (2, 0, 1) for (H, W, K) to (K, H, W)."""
        axes = len(self._shape(in_)) - 1
        if len(order) != axes:
            raise CaffeError(f"Transformer: transpose {tuple(order)} of '{in_}', expected {axes} axes")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of the channels: (2, 1, 0) for RGB to BGR. Needs the channels first, so a transpose too."""
        channels = self._shape(in_)[1]
        if len(order) != channels:
            raise CaffeError(f"Transformer: channel swap {tuple(order)} of '{in_}', expected {channels} channels")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """A factor before the mean is subtracted: 255 for models trained on 0 to 255."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: ArrayLike) -> None:
        """What to subtract: one value per channel (K,), or a picture (K, H, W) or (H, W), resized where necessary."""
        shape = self._shape(in_)
        values = np.asarray(mean)
        if values.ndim == 1:
            if values.shape[0] != shape[1]:
                raise CaffeError(f"Transformer: mean of {values.shape[0]} channels for '{in_}', expected {shape[1]}")
            self.mean[in_] = values[:, np.newaxis, np.newaxis]
        else:
            self.mean[in_] = self._mean_picture(in_, values, shape)

    @staticmethod
    def _mean_picture(in_: str, mean: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        mean = mean[np.newaxis] if mean.ndim == 2 else mean
        if mean.ndim != 3 or mean.shape[0] != shape[1]:
            raise CaffeError(f"Transformer: mean of shape {mean.shape} for '{in_}', expected {shape[1:]}")
        if mean.shape[1:] != shape[2:]:
            mean = resize_image(mean.transpose(1, 2, 0), shape[2:]).transpose(2, 0, 1)
        return mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """A factor after the mean was subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale


def picture_transformer(name: str, shape: Sequence[int], **settings: Any) -> Transformer:
    """A Transformer of (height, width, channels) pictures for the input `name` of a net, of that shape.

    `settings` are values for the setters mean, input_scale, raw_scale and channel_swap; None leaves one out.
    """
    transformer = Transformer({name: shape})
    transformer.set_transpose(name, (2, 0, 1))
    for setting, value in settings.items():
        if value is not None:
            getattr(transformer, f'set_{setting}')(name, value)
    return transformer
