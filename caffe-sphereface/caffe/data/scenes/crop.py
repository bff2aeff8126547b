"""A random part of a picture, scaled, with rectangles that follow it (MS-CNN)."""

from dataclasses import dataclass

import cv2
import numpy as np

from caffe.data.windows import nearest
from caffe.proto.caffe_pb2 import ImageGtDataParameter

_OCTAVE = 2  # scales in a factor of 2
_ASPECT_STEP = 0.05
_NOISE = 10  # pixels
_LARGE = 1.5  # a factor from which on only a part of a picture is scaled


@dataclass(frozen=True)
class Crop:
    """A frame with a part of a picture in it: `image` (h, w, 3) lies at `top`, `left`, rectangles (K, 4) follow it."""

    image: np.ndarray
    top: int
    left: int
    rectangles: np.ndarray


class Cropper:
    """Puts random parts of pictures into a frame (height, width).

    A picture is mirrored or not, resized to resize_height × resize_width where they are given, and a random one of its
    true boxes, or a random place, becomes the focus. With `do_multiple_scale` every other picture is scaled, so that
    the area of that box becomes one of those between min_scale² and max_scale², in steps of a factor √2 for the sides;
    where `min_whaspect` and `max_whaspect` are given, half of those get a box of a random aspect between them, by its
    width or its height, if that side stays within 0.8 · min_scale to 1.2 · max_scale. Larger pictures than the frame
    are cut about the focus, smaller ones laid into its middle, both moved by up to 10 pixels.
    """

    def __init__(self, param: ImageGtDataParameter, height: int, width: int, mirror: bool) -> None:
        self.frame = np.array([width, height])
        self.resized = (param.resize_width, param.resize_height) if param.resize_width else None
        self.mirror = mirror
        scaled = param.do_multiple_scale and param.HasField('min_scale') and param.HasField('max_scale')
        self.scales = (param.min_scale, param.max_scale) if scaled else None
        stretched = param.HasField('min_whaspect') and param.HasField('max_whaspect')
        self.aspects = _aspects(param.min_whaspect, param.max_whaspect) if stretched else None

    def __call__(self, image: np.ndarray, rectangles: np.ndarray, boxes: int, random: np.random.Generator) -> Crop:
        """A part of a picture (H, W, 3), of whose rectangles (K, 4) the first `boxes` are true boxes."""
        if self.mirror and random.random() < 0.5:
            image, rectangles = cv2.flip(image, 1), _turned(rectangles, image.shape[1])
        if self.resized:
            factors = np.divide(self.resized, image.shape[1::-1])
            image, rectangles = _scaled(image, self.resized), rectangles * np.tile(factors, 2)
        if boxes:
            low, high = rectangles[random.integers(boxes)].reshape(2, 2)
            focus, factors = (low + high) / 2, self._factors(high - low, random)
        else:
            focus, factors = self._focus(image, random), np.ones(2)
        if (factors != 1).any():
            corner = np.zeros(2, int)
            if factors.max() > _LARGE:
                image, corner = self._cut_first(image, focus, factors)
            image = _scaled(image, [max(1, nearest(size)) for size in image.shape[1::-1] * factors])
            focus, rectangles = (focus - corner) * factors, (rectangles - np.tile(corner, 2)) * np.tile(factors, 2)
        return self._placed(image, rectangles, focus, random)

    def _focus(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A place (2) about which a part of a picture without true boxes is cut."""
        size = np.array(image.shape[1::-1])
        spare = size - self.frame
        return np.where(spare < 0, size / 2, random.integers(np.maximum(spare, 0) + 1) + self.frame / 2)

    def _factors(self, size: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """By how much (2) a picture is scaled, one of whose true boxes has this size (2)."""
        if self.scales is None or random.random() < 0.5:
            return np.ones(2)
        low, high = self.scales
        steps = np.arange(nearest(_OCTAVE * np.log2(high / low) + 1)) / _OCTAVE
        area, areas = max(size.prod(), 0), np.square(low * 2**steps)
        likeness = np.minimum(area, areas) / np.maximum(area, areas)
        factors = np.full(2, 2 ** (random.choice(steps) - steps[likeness.argmax()]))
        if self.aspects is None or random.random() < 0.5 or size.min() <= 0:
            return factors
        stretch = random.choice(self.aspects) / (size[0] / size[1])
        axis = int(random.integers(2))
        factor = stretch if axis == 0 else 1 / stretch
        if 0.8 * low <= size[axis] * factors[axis] * factor <= 1.2 * high:
            factors[axis] *= factor
        return factors

    def _cut_first(self, image: np.ndarray, focus: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The part of a picture about the focus that is worth scaling, and its corner (2)."""
        size = np.array(image.shape[1::-1])
        part = np.array([min(max(1, nearest(1.2 * whole)), most) for whole, most in zip(size / factors, size)])
        corner = np.array([nearest(place) for place in focus - part / 2]).clip(0, size - part)
        (left, top), (right, bottom) = corner, corner + part
        return np.ascontiguousarray(image[top:bottom, left:right]), corner

    def _placed(
        self, image: np.ndarray, rectangles: np.ndarray, focus: np.ndarray, random: np.random.Generator
    ) -> Crop:
        """The part of a scaled picture that lies in the frame."""
        size, noise = np.array(image.shape[1::-1]), random.integers(-_NOISE, _NOISE, 2)
        spare = size - self.frame
        middle = np.array([nearest(place) for place in focus]) + noise - (self.frame + 1) // 2
        start = np.where(spare > 0, middle.clip(0, np.maximum(spare, 0)), 0)
        place = np.where(spare < 0, ((1 - spare) // 2 + noise).clip(0, np.maximum(-spare, 0)), 0)
        (left, top), (right, bottom) = start, start + np.minimum(size, self.frame)
        return Crop(image[top:bottom, left:right], place[1], place[0], rectangles + np.tile(place - start, 2))


def _turned(rectangles: np.ndarray, width: int) -> np.ndarray:
    """Rectangles (K, 4) in the picture mirrored from left to right."""
    turned = rectangles.copy()
    turned[:, [0, 2]] = width - rectangles[:, [2, 0]]
    return turned


def _scaled(image: np.ndarray, size: tuple[int, int] | list[int]) -> np.ndarray:
    """A picture of another size (width, height)."""
    same = image.shape[1] == size[0] and image.shape[0] == size[1]
    return image if same else cv2.resize(image, (size[0], size[1]), interpolation=cv2.INTER_LINEAR)


def _aspects(low: float, high: float) -> np.ndarray:
    return low + _ASPECT_STEP * np.arange(nearest((high - low) / _ASPECT_STEP))
