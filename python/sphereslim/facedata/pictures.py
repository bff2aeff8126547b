"""Reading pictures of any kind, and saying which cannot be used."""

import os
from pathlib import Path

import cv2
import numpy as np

from sphereslim.errors import SlimError

ENDINGS = frozenset('.jpg .jpeg .jpe .png .bmp .pgm .ppm .pnm .tif .tiff .webp'.split())
if 'OPENCV_LOG_LEVEL' not in os.environ:
    # Lines of OpenCV's own would land in the progress bar; PictureError says which picture and why. OpenCV 4 and 5 name
    # the setter differently.
    (getattr(cv2, 'setLogLevel', None) or cv2.utils.logging.setLogLevel)(0)

QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


class PictureError(SlimError):
    """A picture that cannot be used; the message names it and says why."""


def is_picture(path):
    """Whether the file's ending is that of a picture, and it is no hidden or unfinished file."""
    path = Path(path)
    return path.suffix.lower() in ENDINGS and not path.name.startswith('.')


def read(path):
    """The picture as uint8 (height, width, 3) BGR, upright.

    Grey becomes three equal channels, 16 bits become 8, CMYK becomes BGR, transparency is dropped and the orientation
    in the file (EXIF) is applied, all by OpenCV. Raises PictureError for anything else, a picture cut short included.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise PictureError(f'{path}: cannot be read ({error.strerror})') from None
    if not len(content):
        raise PictureError(f'{path}: is empty')
    image = _decode(content)
    if image is None:
        raise PictureError(f'{path}: is broken or no picture')
    if _cut_short(content.tobytes()):
        raise PictureError(f'{path}: is cut short')
    return image


def encode(image, ending):
    """The bytes of a picture file of that `ending`; JPEG at quality 95."""
    return cv2.imencode(ending, image, QUALITY if ending.lower() in ('.jpg', '.jpeg', '.jpe') else [])[1]


def _decode(content):
    try:
        return cv2.imdecode(content, cv2.IMREAD_COLOR)
    except cv2.error:  # a size OpenCV refuses
        return None


def _cut_short(content):
    """Whether a JPEG lacks its end: OpenCV 4 fills the missing part with grey and says nothing."""
    return content[:2] == b'\xff\xd8' and content.find(b'\xff\xd9', content.rfind(b'\xff\xda')) < 0
