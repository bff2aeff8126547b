"""Training with binary weights: sign times scale in forward and backward, full precision kept aside.

The scale is the mean |w| of the filter (XNOR-Net, Rastegari et al. 2016). The gradient with respect to the binary
weights updates the full-precision ones as it is, the straight-through estimator of BinaryConnect (Courbariaux et
al. 2015). Only `solver.add_callback` and `net.params` of pycaffe are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from sphereslim.engine import caffe
from sphereslim.errors import SlimError
from sphereslim.quantization.bits import is_convolution, is_vector
from sphereslim.quantization.quantize_net import filter_scales


def binary_layers(net: caffe.Net, only: str = 'all', keep: Sequence[str] = ()) -> list[str]:
    """Names of the layers of a caffe.Net whose weights become binary: not those in `keep`, and no vectors.

    `only` is 'conv' for convolutions, 'all' for every layer.
    """
    unknown = sorted(set(keep) - set(net.params))
    if unknown:
        raise SlimError(f'layer {unknown[0]} to keep: the net has no such layer with weights')
    return [
        name
        for name, blobs in net.params.items()
        if name not in keep
        and not is_vector(blobs[0].data.shape)
        and (only == 'all' or is_convolution(net.layer_dict[name].type))
    ]


def binary_weights(weights: np.ndarray) -> np.ndarray:
    """sign(w) times mean |w| of the filter (slice of axis 0), sign(0) = +1; float32 of the same shape."""
    scales = filter_scales(weights).reshape(-1, *[1] * (weights.ndim - 1))
    return np.where(weights >= 0, scales, -scales)


class Binarizer:
    """Keeps a training net's weights in full precision and swaps the binary ones in for every iteration."""

    def __init__(self, net: caffe.Net, layers: Sequence[str]) -> None:
        self.blobs = [net.params[name][0] for name in layers]
        self.full: list[np.ndarray] | None = None

    def attach(self, solver: Any) -> None:
        """Has the solver train this way from here on; weight decay acts on the full-precision weights."""
        solver.add_callback(self.to_binary, self.to_full)

    def to_binary(self) -> None:
        """Before forward: full precision aside, binary in."""
        if self.full is None:
            self.full = [blob.data.copy() for blob in self.blobs]
            for blob, weights in zip(self.blobs, self.full):
                blob.data[...] = binary_weights(weights)

    def to_full(self) -> None:
        """Before the update, and after an interruption: full precision back in place."""
        if self.full is not None:
            for blob, weights in zip(self.blobs, self.full):
                blob.data[...] = weights
            self.full = None

    @contextmanager
    def binary(self) -> Iterator[None]:
        """Binary weights within the block, for testing or saving."""
        self.to_binary()
        try:
            yield
        finally:
            self.to_full()
