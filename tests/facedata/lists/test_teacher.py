"""What a face model says of pictures and of their blends, where those cannot be made."""

import cv2
import numpy as np
import pytest
from sphereslim.errors import SlimError
from sphereslim.facedata.lists.teacher import Teacher


def test_blends_of_pictures_of_two_sizes_name_both(tmp_path):
    for name, width in (('a.png', 112), ('b.png', 96)):
        cv2.imwrite(str(tmp_path / name), np.zeros((112, width, 3), np.uint8))
    teacher = Teacher('', lambda pictures: np.ones((len(pictures), 2)), blends=1)
    with pytest.raises(
        SlimError, match=r'(a\.png: is 112x112, expected 96x112 as|b\.png: is 96x112, expected 112x112 as) '
    ):
        teacher.teach(tmp_path, ['a.png', 'b.png'], tmp_path / 'out', np.array)
