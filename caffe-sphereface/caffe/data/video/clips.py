"""Reading clips: some frames of a video, each a picture in a folder or a frame of a video file."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from caffe.data.pictures import read_picture
from caffe.errors import CaffeError
from caffe.proto.files import read_bytes


def read_frames(paths: Sequence[str], color: bool = True, height: int = 0, width: int = 0) -> np.ndarray:
    """The pictures of the files `paths` as uint8 (T, height, width, 3) in BGR, or (T, height, width) in grey.

    They are resized where `height` and `width` are given. CaffeError naming the file for one that cannot be read or has
    another size than the first.
    """
    frames = [read_picture(path, color, height, width) for path in paths]
    for path, frame in zip(paths, frames):
        if frame.shape != frames[0].shape:
            raise CaffeError(
                f'{path}: has size {frame.shape[:2]}, the first frame {frames[0].shape[:2]}; expected the same'
            )
    return np.stack(frames)


def count_frames(path: str) -> int:
    """How many frames a video file says it has; CaffeError naming it where OpenCV cannot open it."""
    return int(_opened(path).get(cv2.CAP_PROP_FRAME_COUNT))


def read_video(path: str, numbers: Sequence[int], height: int = 0, width: int = 0) -> np.ndarray:
    """The frames `numbers` (rising, from 0) of a video file as uint8 (T, height, width, 3) in BGR.

    All frames up to the last of them are decoded, as seeking is not exact in every format. CaffeError naming the file
    where it ends before.
    """
    video, wanted, frames = _opened(path), set(numbers), []
    for number in range(numbers[-1] + 1):
        found, frame = video.read() if number in wanted else (video.grab(), None)
        if not found:
            raise CaffeError(f'{path}: ends before frame {number}, expected frames up to {numbers[-1]}')
        if frame is not None:
            frames.append(cv2.resize(frame, (width, height)) if height and width else frame)
    return np.stack(frames)


def _opened(path: str) -> cv2.VideoCapture:
    if not Path(path).is_file():
        raise CaffeError(f'{path}: is no file, expected a video')
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise CaffeError(f'{path}: is not a video that OpenCV can decode')
    return video


def read_volume(path: str, kind: str) -> np.ndarray:
    """The values (channels, time, height, width) of a file that C3D writes of a blob, in float32.

    It has five whole numbers of 32 bits, the shape with a first axis of 1, and then values of numpy's `kind`.
    CaffeError naming the file where their counts differ.
    """
    content = read_bytes(path)
    shape = tuple(np.frombuffer(content[:20], '<i4').tolist()) if len(content) >= 20 else ()
    count = int(np.prod(shape, dtype=object)) if len(shape) == 5 and min(shape) > 0 else 0
    values = content[20:]
    if not count or shape[0] != 1 or count * np.dtype(kind).itemsize != len(values):
        raise CaffeError(
            f'{path}: has {len(values)} bytes behind the shape {shape}, expected those of one clip '
            f'(1, channels, time, height, width) of {np.dtype(kind).name}'
        )
    return np.frombuffer(values, kind).astype(np.float32).reshape(shape[1:])
