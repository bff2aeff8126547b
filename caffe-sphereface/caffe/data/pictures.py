"""Reading pictures: BGR or grey uint8 arrays from files and from bytes."""

import os

import cv2
import numpy as np

from caffe import log
from caffe.errors import CaffeError, reason

_START, _SCAN, _END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'  # marks in a JPEG
_told: set[str] = set()  # files that a warning has named
if 'OPENCV_LOG_LEVEL' not in os.environ:
    # What OpenCV would print about a broken picture says less than the CaffeError about it, and with several readers it
    # lands anywhere in the log. OpenCV 4 and 5 name the setter differently.
    (getattr(cv2, 'setLogLevel', None) or cv2.utils.logging.setLogLevel)(0)  # type: ignore[attr-defined]


def read_picture(
    path: str, color: bool = True, height: int = 0, width: int = 0, interpolation: int = cv2.INTER_LINEAR
) -> np.ndarray:
    """The picture of a file as uint8 (height, width, 3) in BGR, or (height, width) when `color` is False.

    It is resized, bilinearly unless told otherwise, where `height` and `width` are given. CaffeError naming the file
    when it is missing, no picture, or to become larger than memory. One that is cut short is read as Caffe does, what
    is missing of it grey, with one warning.
    """
    content = read_small(path)
    cut_short = is_cut_short(content)
    # OpenCV decodes from memory only what has its end; the end alone gives what Caffe's imread makes of the file
    image = decode_picture(content + _END if cut_short else content, path, color)
    if cut_short and path not in _told:
        _told.add(path)
        log.warning('io.cpp:73', f'{path}: is cut short; the rest of the picture is grey')
    if height and width and image.shape[:2] != (height, width):
        try:
            image = cv2.resize(image, (width, height), interpolation=interpolation)
        except (cv2.error, OverflowError):
            raise CaffeError(f'{path}: cannot be resized to {height}x{width} (height x width)') from None
    return image


def read_small(path: str) -> bytes:
    """The bytes of a file, with fewer calls than pathlib makes: this runs once per picture."""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            return os.read(handle, os.fstat(handle).st_size)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        raise CaffeError(f'{path}: cannot be read ({reason(error)})') from None


def decode_picture(content: bytes, origin: str, color: bool | None = None) -> np.ndarray:
    """Decode the bytes of a JPEG, PNG, … file: BGR if `color`, grey if False, as it is stored if None."""
    flag = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    image = decode(content, flag)
    if image is None:
        raise CaffeError(f'{origin}: is not a picture that OpenCV can decode ({len(content)} bytes)')
    if image.dtype != np.uint8:
        raise CaffeError(f'{origin}: has {image.dtype} values, expected 8 bits per channel')
    return image


def is_cut_short(content: bytes) -> bool:
    """Whether a JPEG lacks its end."""
    if not content.startswith(_START) or content.endswith(_END):
        return False
    return content.find(_END, content.rfind(_SCAN)) < 0  # something may follow the end


def decode(content: bytes, flag: int) -> np.ndarray | None:
    """What cv2.imdecode makes of bytes; None where it returns None or raises cv2.error."""
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flag) if len(content) else None
    except cv2.error:
        return None
