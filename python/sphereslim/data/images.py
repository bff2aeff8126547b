"""Pictures as a network's input."""

import cv2
import numpy as np

from sphereslim.data.pictures import read_picture


def load_images(paths, shape, mean, scale, rgb):
    """(N, C, H, W) float32 of (pixel - mean) * scale, resized to `shape` (C, H, W); BGR unless `rgb`."""
    channels, height, width = shape
    return np.stack([_load(path, channels, (width, height), mean, scale, rgb) for path in paths])


def _load(path, channels, size, mean, scale, rgb):
    image = read_picture(path, channels)
    if (image.shape[1], image.shape[0]) != size:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    image = image.reshape(*image.shape[:2], channels)
    if rgb:
        image = image[:, :, ::-1]
    return (image.transpose(2, 0, 1).astype(np.float32) - mean) * np.float32(scale)
