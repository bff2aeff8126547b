"""A quantized network in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sphereslim.engine import caffe


@dataclass
class Dictionary:
    """Signed float32 `values`: indices of `bits` bits address the first 2^bits, escapes the few that follow."""

    bits: int
    values: np.ndarray


@dataclass
class QuantizedBlob:
    """Either `floats` (a blob kept as it was) or `indices` into dictionary number `dictionary`.

    `escapes` maps a dictionary entry of 2^bits or more to the ascending positions that take it. `scales`, when
    there are any, multiply the dictionary's values: one per filter (slice of axis 0) or one for the blob.
    With `half` a file keeps `floats`, or `scales`, in half precision, which their values fit.
    `error` is |Q(x) - x| / |x| with Euclidean norms.
    """

    shape: tuple[int, ...]
    legacy: bool = False
    floats: np.ndarray | None = None
    dictionary: int | None = None
    indices: np.ndarray | None = None
    escapes: dict[int, np.ndarray] = field(default_factory=dict)
    scales: np.ndarray | None = None
    error: float = 0.0
    half: bool = False

    @property
    def count(self) -> int:
        """The number of weights."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass
class QuantizedLayer:
    """The blobs of one layer, in Caffe's order."""

    name: str
    type: str
    blobs: list[QuantizedBlob]


@dataclass
class QuantizedNet:
    """Layers with blobs, in the order of the caffemodel; `deploy` is what a prototxt file holds or b''."""

    name: str
    scheme: str
    scope: str
    dictionaries: list[Dictionary]
    layers: list[QuantizedLayer]
    deploy: bytes = b''


def blob_values(net: QuantizedNet, blob: QuantizedBlob) -> np.ndarray:
    """The float32 weights of `blob` (a QuantizedBlob of `net`), in its shape."""
    if blob.dictionary is None:
        return np.asarray(blob.floats).reshape(blob.shape)
    dictionary = net.dictionaries[blob.dictionary]
    values = dictionary.values[blob.indices]
    for entry, positions in blob.escapes.items():
        values[positions] = dictionary.values[entry]
    if blob.scales is not None:
        values = (values.reshape(len(blob.scales), -1) * blob.scales[:, None]).astype(np.float32)
    return values.reshape(blob.shape)


def load_weights(net: caffe.Net, quantized: QuantizedNet) -> None:
    """Puts the weights of a QuantizedNet into the layers of a caffe.Net that have its names."""
    for layer in quantized.layers:
        if layer.name in net.params:
            for blob, source in zip(net.params[layer.name], layer.blobs):
                blob.data[...] = blob_values(quantized, source).reshape(blob.data.shape)
