"""Resizing pictures (height, width, channels) as one matrix per axis, exact in float32."""

from collections.abc import Sequence

import numpy as np

from caffe.errors import CaffeError


def resize_image(im: np.ndarray, new_dims: Sequence[int], interp_order: int = 1) -> np.ndarray:
    """Resize (height, width, channels) to `new_dims` = (height, width) without a smoothing filter.

    Pictures of one or three channels use pixel centres, as scikit-image's `resize` does; other counts map the corners
    onto each other, as SciPy's `zoom` does. `interp_order` is 0 (nearest), 1 (linear) or, with SciPy, up to 5.
    """
    if im.shape[-1] not in (1, 3):
        return resize(im, new_dims, interp_order, corners=True)
    low, high = im.min(), im.max()
    if low == high:
        return np.full((*new_dims, im.shape[-1]), low, np.float32)
    # outside the picture counts as its darkest value
    return np.clip(resize(im - low, new_dims, interp_order, corners=False) + np.float32(low), low, high)


def resize(image: np.ndarray, new_dims: Sequence[int], order: int, corners: bool) -> np.ndarray:
    """Resize the first two axes to `new_dims` with interpolation of `order` 0 to 5; float32.

    With `corners` the outermost pixels keep their place; without, the outer borders of the pixels do, and what lies
    outside the picture counts as 0. Orders above 1 are B-splines and need SciPy.
    """
    if order > 1:
        return _spline(image, new_dims, order, corners)
    rows = axis_weights(image.shape[0], int(new_dims[0]), order, corners)
    columns = axis_weights(image.shape[1], int(new_dims[1]), order, corners)
    tall = np.tensordot(rows, image.astype(np.float32, copy=False), (1, 0))
    return np.ascontiguousarray(np.moveaxis(np.tensordot(columns, tall, (1, 1)), 0, 1))


def axis_weights(size: int, new_size: int, order: int, corners: bool) -> np.ndarray:
    """The matrix (new_size, size) that nearest (0) or linear (1) interpolation applies along an axis."""
    steps = np.arange(new_size)
    at = steps * ((size - 1) / max(1, new_size - 1)) if corners else (steps + 0.5) * (size / new_size) - 0.5
    weights = np.zeros((new_size, size), np.float32)
    if order == 0:
        weights[steps, np.clip(np.floor(at + 0.5).astype(int), 0, size - 1)] = 1
        return weights
    below = np.floor(at).astype(int)
    for pixel, share in ((below, 1 - (at - below)), (below + 1, at - below)):
        inside = (pixel >= 0) & (pixel < size)
        weights[steps[inside], pixel[inside]] += share[inside]
    return weights


def _spline(image: np.ndarray, new_dims: Sequence[int], order: int, corners: bool) -> np.ndarray:
    try:
        from scipy.ndimage import zoom
    except ImportError:
        raise CaffeError(f'resize: order {order} needs SciPy, expected it installed, or order 0 or 1') from None
    factors = (new_dims[0] / image.shape[0], new_dims[1] / image.shape[1], 1)
    mode = 'constant' if corners else 'grid-constant'
    return zoom(image, factors, order=order, mode=mode, grid_mode=not corners).astype(np.float32)
