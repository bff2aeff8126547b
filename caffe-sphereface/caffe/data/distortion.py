"""Other colours and more room for pictures that a detector is trained on (distort_param and expand_param of SSD)."""

import cv2
import numpy as np

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def check_distortion(param: caffe_pb2.DistortionParameter) -> None:
    """CaffeError for ranges that are impossible."""
    for name in ('contrast', 'saturation'):
        low, high = getattr(param, f'{name}_lower'), getattr(param, f'{name}_upper')
        if getattr(param, f'{name}_prob') and not 0 <= low <= high:
            raise CaffeError(f'{name}_lower {low:g} and {name}_upper {high:g} of distort_param, expected them in order')
    for name in ('brightness_delta', 'hue_delta'):
        if getattr(param, name) < 0:
            raise CaffeError(f'{name} of distort_param is {getattr(param, name):g}, expected 0 or more')


def distorted(image: np.ndarray, param: caffe_pb2.DistortionParameter, random: np.random.Generator) -> np.ndarray:
    """A picture (height, width, 3) of uint8 in BGR with random brightness, contrast, saturation, hue and channels.

    Contrast changes before or after saturation and hue, each with a chance of one half. Grey pictures keep their hue.
    """
    early = random.random() > 0.5
    image = _shifted(image, param.brightness_prob, param.brightness_delta, random)
    if early:
        image = _contrast(image, param, random)
    if image.ndim == 3 and image.shape[2] == 3:
        image = _hue(_saturation(image, param, random), param, random)
    if not early:
        image = _contrast(image, param, random)
    if image.ndim == 3 and random.random() < param.random_order_prob:
        image = np.ascontiguousarray(image[..., random.permutation(image.shape[2])])
    return image


def _shifted(image: np.ndarray, chance: float, delta: float, random: np.random.Generator) -> np.ndarray:
    if random.random() >= chance:
        return image
    return cv2.convertScaleAbs(np.maximum(image + np.float32(random.uniform(-delta, delta)), 0))


def _contrast(image: np.ndarray, param: caffe_pb2.DistortionParameter, random: np.random.Generator) -> np.ndarray:
    if random.random() >= param.contrast_prob:
        return image
    return cv2.convertScaleAbs(image, alpha=random.uniform(param.contrast_lower, param.contrast_upper))


def _saturation(image: np.ndarray, param: caffe_pb2.DistortionParameter, random: np.random.Generator) -> np.ndarray:
    if random.random() >= param.saturation_prob:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    factor = random.uniform(param.saturation_lower, param.saturation_upper)
    hsv[..., 1] = cv2.convertScaleAbs(np.ascontiguousarray(hsv[..., 1]), alpha=factor)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def _hue(image: np.ndarray, param: caffe_pb2.DistortionParameter, random: np.random.Generator) -> np.ndarray:
    """Hues in steps of two degrees, as OpenCV has them in 8 bits, are shifted by up to hue_delta."""
    if random.random() >= param.hue_prob:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    shift = random.uniform(-param.hue_delta, param.hue_delta)
    hsv[..., 0] = np.rint(hsv[..., 0] + shift).clip(0, 255)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def expanded(
    image: np.ndarray, param: caffe_pb2.ExpansionParameter, mean: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(picture, window): a picture at a random place of one larger by up to max_expand_ratio, filled with `mean`.

    The window (4) is the new picture as a box of the old one. `mean` has a value for each channel, one for all, or
    none, which is black.
    """
    height, width = image.shape[:2]
    ratio = random.uniform(1, max(1, param.max_expand_ratio)) if random.random() < param.prob else 1.0
    new_height, new_width = int(height * ratio), int(width * ratio)
    top = int(random.integers(new_height - height + 1))
    left = int(random.integers(new_width - width + 1))
    larger = np.empty((new_height, new_width, *image.shape[2:]), image.dtype)
    larger[...] = np.rint(mean).clip(0, 255) if len(mean) else 0
    larger[top : top + height, left : left + width] = image
    window = [-left / width, -top / height, (new_width - left) / width, (new_height - top) / height]
    return larger, np.array(window, np.float32)
