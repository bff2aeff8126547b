"""Reading picture files for a net."""

import cv2

from sphereslim.errors import SlimError


def read_picture(path, channels=3):
    """A picture file as uint8: (height, width, 3) BGR, or (height, width) for one of `channels`.

    It stands upright, as its EXIF says. SlimError naming the file where it is none.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise SlimError(f'{path}: cannot be read as a picture')
    return image
