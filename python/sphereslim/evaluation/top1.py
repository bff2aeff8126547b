"""Top-1 accuracy of a deploy net on a list of pictures, as a measure of many sets of weights."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from sphereslim.data.labelled import read_labelled
from sphereslim.data.pictures import read_picture
from sphereslim.engine import caffe


class Top1:
    """A callable (deploy prototxt, caffemodel) -> percent of a list's pictures whose largest output is their label.

    Pictures are resized to `resize` squared, their middle is taken, and they become (x - 127.5) / 128 in BGR; they stay
    in memory as bytes.
    """

    def __init__(self, lists, resize, crop, batch=64):
        rows = read_labelled(lists.val)
        self.paths = [lists.pictures / path for path, _ in rows]
        self.labels = np.array([label for _, label in rows])
        self.resize, self.crop, self.batch = resize, crop, batch
        self.images = None

    def __call__(self, deploy, weights):
        if self.images is None:
            with ThreadPoolExecutor() as pool:
                self.images = np.stack(list(pool.map(self._load, self.paths)))
        net = caffe.Net(str(deploy), str(weights), caffe.TEST)
        right = 0
        for start in range(0, len(self.images), self.batch):
            part = self.images[start : start + self.batch].astype(np.float32)
            data = net.blobs[net.inputs[0]]
            data.reshape(*part.shape)
            data.data[...] = (part - np.float32(127.5)) / np.float32(128)
            output = net.forward()[net.outputs[0]]
            right += int((output.argmax(axis=1) == self.labels[start : start + self.batch]).sum())
        return 100 * right / len(self.images)

    @property
    def error(self):
        """Two standard errors of an accuracy of 50 %, percent: the most that chance in the pictures explains."""
        return 100 / np.sqrt(len(self.labels))

    def _load(self, path):
        image = cv2.resize(read_picture(path), (self.resize, self.resize))
        edge = (self.resize - self.crop) // 2
        return image[edge : edge + self.crop, edge : edge + self.crop].transpose(2, 0, 1)
