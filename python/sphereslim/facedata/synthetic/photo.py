"""What a camera makes of a scene: exposure curve, blur, noise, eight bits."""

import cv2
import numpy as np

from sphereslim.facedata.synthetic.view import Camera


def expose(scene: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """uint8 BGR picture of a float32 scene of brightness 0..1."""
    image = np.clip(scene, 0, 1) ** np.float32(camera.gamma)
    image = (image - 0.5) * np.float32(camera.contrast) + 0.5
    if camera.blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), camera.blur)
    if camera.motion:
        image = cv2.filter2D(image, -1, _streak(camera.motion, rng.uniform(0, np.pi)))
    image = image * 255 + camera.noise * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _streak(length: float, angle: float) -> np.ndarray:
    """Kernel of a camera moved by `length` pixels in the direction `angle`."""
    kernel = np.zeros((9, 9), np.float32)
    reach = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    ends = np.round((np.array([4 - reach, 4 + reach])) * 16).astype(int)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0, 1, cv2.LINE_8, 4)
    return kernel / kernel.sum()
