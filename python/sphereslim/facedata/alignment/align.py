"""Alignment of a face to five points by a least-squares similarity transform.

Pixel convention: coordinates are (x, y), 0-based, integers at pixel centres, in pictures and in `FIVE_POINTS` alike.
(SphereFace's MATLAB script applies the same numbers 1-based: its crops show the face one pixel up and left of these.)
"""

import cv2
import numpy as np
import numpy.typing as npt
from skimage.transform import SimilarityTransform

from sphereslim.errors import SlimError

SIZE = (112, 96)
"""Height and width of an aligned face."""

FIVE_POINTS = np.array(
    [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]]
)
"""Left eye, right eye, nose tip, left and right mouth corner (left as seen in the image) in a 112×96 crop.

Source: SphereFace (Liu et al., CVPR 2017), the reference points of its face alignment.
"""


def similarity(points: npt.ArrayLike, template: npt.ArrayLike = FIVE_POINTS) -> np.ndarray:
    """The 2×3 matrix of the rotation, uniform scale and shift that brings `points` nearest to `template`.

    Both are N×2 arrays of (x, y) in pixels; nearest in the sense of least squares (Umeyama 1991, without reflection).
    Raises SlimError when the points are not N×2 finite numbers or all coincide.
    """
    points, template = np.asarray(points, dtype=np.float64), np.asarray(template, dtype=np.float64)
    if points.shape != template.shape or not np.isfinite(points).all():
        raise SlimError(f'expected {len(template)} landmarks as finite x y numbers, got an array {points.shape}')
    if np.ptp(points, axis=0).max() == 0:
        raise SlimError(f'all landmarks coincide at {points[0].tolist()}; cannot align')
    return _fit(points, template).params[:2]


def align(
    image: np.ndarray, points: npt.ArrayLike, size: tuple[int, int] = SIZE, template: npt.ArrayLike = FIVE_POINTS
) -> np.ndarray:
    """Crop of `size` (height, width) from `image` (H×W or H×W×C) with its five `points` brought to `template`.

    Bilinear sampling; what lies outside the picture is black. Errors as in `similarity`.
    """
    height, width = size
    return cv2.warpAffine(image, similarity(points, template), (width, height), flags=cv2.INTER_LINEAR)


def _fit(source: np.ndarray, target: np.ndarray) -> SimilarityTransform:
    # scikit-image 0.26 replaced `estimate` by `from_estimate`; Python 3.10 has only older releases.
    if hasattr(SimilarityTransform, 'from_estimate'):
        return SimilarityTransform.from_estimate(source, target)
    transform = SimilarityTransform()
    transform.estimate(source, target)
    return transform
