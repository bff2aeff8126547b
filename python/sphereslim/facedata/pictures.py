"""Writing pictures of faces."""

import cv2
import numpy as np

QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


def encode(image: np.ndarray, ending: str) -> bytes:
    """The bytes of a picture file of that `ending`; JPEG at quality 95."""
    return cv2.imencode(ending, image, QUALITY if ending.lower() in ('.jpg', '.jpeg', '.jpe') else [])[1].tobytes()
