"""How far a changed net's outputs lie from the original's: a measure that needs no labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from sphereslim.engine import caffe


class OutputDistance:
    """Mean over pictures of 1 − cos(y, y0), 0 to 2, of a net's outputs to those that the original `net` gives at first.

    Embeddings are compared by cosine, and unlike a squared error it stays bounded for a net that has broken down.
    `net` is a `caffe.Net`, `feed` a function that returns the batches {input blob: array} each time it is called.
    `outputs` are the blobs compared, side by side; by default all outputs.
    """

    def __init__(
        self,
        net: caffe.Net,
        feed: Callable[[], Iterable[Mapping[str, np.ndarray]]],
        outputs: Sequence[str] | None = None,
    ) -> None:
        self.net, self.feed, self.outputs = net, feed, outputs
        self.reference = output_rows(net, feed, outputs)

    def __call__(self, net: caffe.Net | None = None) -> float:
        """The distance of another net of the same outputs, or of the original with the weights that it has by then."""
        return cosine_distance(output_rows(net or self.net, self.feed, self.outputs), self.reference)


def output_rows(
    net: caffe.Net,
    feed: Callable[[], Iterable[Mapping[str, np.ndarray]]],
    outputs: Sequence[str] | None = None,
) -> np.ndarray:
    """What a net gives for the pictures of `feed` (pictures, dimensions), float64; arguments as of OutputDistance."""
    rows = []
    for batch in feed():
        for name, array in batch.items():
            net.blobs[name].reshape(*array.shape)
            net.blobs[name].data[...] = array
        tops = net.forward()
        parts = [np.array(tops[name]) for name in outputs or sorted(tops)]
        rows.append(np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1))
    return np.concatenate(rows).astype(np.float64)


def cosine_distance(rows: np.ndarray, reference: np.ndarray) -> float:
    """Mean over rows (pictures, dimensions) of 1 − cos(y, y0), 0 to 2; one that is zero or no number counts as 1."""
    return max(0.0, float(np.mean(1 - (_unit(rows) * _unit(reference)).sum(axis=1))))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows that are zero, or no numbers any more, become zero."""
    rows = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)
