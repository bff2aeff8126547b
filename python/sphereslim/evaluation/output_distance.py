"""How far a changed net's outputs lie from the original's: a harm that needs no labels."""

import numpy as np

from sphereslim.sampling.sampler import Sampler, Stop


class OutputShift:
    """Mean over pictures of 1 − cos(y, y0) of the first outputs, 0 to 2: embeddings are compared by cosine.

    `net` is the original's `caffe.Net`, `feed` gives the batches; called with another net of the same output it
    returns that net's shift.
    """

    def __init__(self, net, feed):
        self.feed = feed
        self.reference = _outputs(net, feed)

    def __call__(self, net):
        return cosine_distance(_outputs(net, self.feed), self.reference)


def cosine_distance(rows, reference):
    """Mean over rows (pictures, dimensions) of 1 − cos(y, y0), 0 to 2; one that is zero or no number counts as 1."""
    return max(0.0, float(np.mean(1 - (_unit(rows) * _unit(reference)).sum(axis=1))))


def _unit(rows):
    """Rows of length 1; rows that are zero, or no numbers any more, become zero."""
    rows = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def _outputs(net, feed):
    """The first outputs (pictures, dimensions), float64."""
    end = Stop(len(net.layers) - 1, net.outputs[0])
    parts = [blob.reshape(len(blob), -1) for (blob,) in Sampler(net, feed).blobs([end])]
    return np.concatenate(parts).astype(np.float64)
