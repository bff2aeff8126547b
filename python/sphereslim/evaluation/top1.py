"""Top-1 accuracy of a deploy net on a list of pictures, as a measure of many sets of weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from sphereslim.data.lists import read_labelled
from sphereslim.data.pictures import read_picture
from sphereslim.data.preparation import InputForm, cut, prepare
from sphereslim.net.opened import load_net


class Top1:
    """A callable (deploy prototxt, caffemodel) -> percent of a list's pictures whose largest output is their label.

    The list is `source`, its pictures lie in `folder`. They are resized to `resize` squared, of which the net reads the
    middle in the InputForm `form`; they stay in memory as bytes.
    """

    def __init__(
        self,
        source: str | Path,
        folder: str | Path,
        resize: int,
        crop: int,
        form: InputForm | None = None,
        batch: int = 64,
    ) -> None:
        rows = read_labelled(source)
        self.paths = [Path(folder) / path for path, _ in rows]
        self.labels = np.array([label for _, label in rows])
        self.resize, self.crop, self.batch = resize, crop, batch
        self.form = form or InputForm()
        self.images: np.ndarray | None = None

    def __call__(self, deploy: str | Path, weights: str | Path) -> float:
        return 100 * float(self.judged(deploy, weights).mean())

    def judged(self, deploy: str | Path, weights: str | Path) -> np.ndarray:
        """Whether each picture of the list is judged right, bools."""
        images = self._read()
        net = load_net(deploy, weights)
        right = []
        for start in range(0, len(images), self.batch):
            part = prepare(images[start : start + self.batch], self.form)
            data = net.blobs[net.inputs[0]]
            data.reshape(*part.shape)
            data.data[...] = part
            output = net.forward()[net.outputs[0]]
            right.append(output.argmax(axis=1) == self.labels[start : start + self.batch])
        return np.concatenate(right)

    @property
    def error(self) -> float:
        """Two standard errors of an accuracy of 50 %, percent: the most that chance in the pictures explains."""
        return 100 / np.sqrt(len(self.labels))

    def _read(self) -> np.ndarray:
        if self.images is None:
            with ThreadPoolExecutor() as pool:
                self.images = np.stack(list(pool.map(self._load, self.paths)))
        return self.images

    def _load(self, path: Path) -> np.ndarray:
        image = cv2.resize(read_picture(path), (self.resize, self.resize))
        return cut(path, image, self.crop, self.crop).transpose(2, 0, 1)
