"""Verification accuracy as a measure of many sets of weights of one net: the pictures are read once."""

import numpy as np

from sphereslim.data.pairs import read_pairs
from sphereslim.evaluation.features import InputForm, features, load, open_deploy
from sphereslim.evaluation.protocol import verify


class Verification:
    """A callable (deploy prototxt, caffemodel) -> mean accuracy over the folds in percent.

    `pairs` is a pairs.txt over the pictures in `folder`; `form`, `mirror`, `batch` and `progress` as for `extract`. All
    nets measured take pictures of one size; the uint8 pictures stay in memory (38 kB each at 112x112).
    """

    def __init__(self, pairs, folder, form=None, mirror=False, batch=32, progress=iter):
        self.pairs = read_pairs(pairs, folder)
        self.form, self.mirror, self.batch, self.progress = form or InputForm(), mirror, batch, progress
        self.images = None

    def __call__(self, deploy, weights):
        net = open_deploy(deploy, weights)
        if self.images is None:
            shape = net.blobs[net.inputs[0]].data.shape[1:]
            self.images = np.stack([load(path, *shape, self.form.crop) for path in self.pairs.pictures])
        starts = range(0, len(self.images), self.batch)
        found = [
            features(net, self.images[start : start + self.batch], self.form, mirror=self.mirror)
            for start in self.progress(starts)
        ]
        return float(np.mean(verify(np.concatenate(found), self.pairs)[0]))
