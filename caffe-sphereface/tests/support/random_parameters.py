"""Parameters that make every layer matter."""

import numpy as np


def randomise(net, seed=3):
    """Small weights, and statistics of positive variance, in place."""
    values = np.random.default_rng(seed)
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            if net.layer_dict[name].type == 'BatchNorm':
                blob.data[...] = values.uniform(0.5, 1.5, blob.shape) if i < 2 else 1
            else:
                fan = max(1, blob.count // max(1, blob.shape[0] if blob.shape else 1))
                blob.data[...] = values.standard_normal(blob.shape) / np.sqrt(fan)
