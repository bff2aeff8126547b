"""Least-squares reconstruction: the readers of pruned channels are refitted to what they gave before, without training.

Source: He, Zhang, Sun, Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, the reconstruction step:
inputs as the pruned net gives them, wanted outputs from the whole net, layer after layer. The fit is drawn towards the
weights there were (ridge), so that what the samples say nothing about stays.
"""

import numpy as np

from sphereslim.errors import RequestError
from sphereslim.least_squares import NormalEquations, SampledRows
from sphereslim.patches import patches_at, sample_places, window_of

TYPES = ('Convolution', 'InnerProduct')
LARGEST_SYSTEM = 5000  # inputs up to which XᵀX is gathered; 200 MB


def readers_of(groups, kept):
    """The layers that lose input channels under {group or layer name: kept indices} and can be refitted."""
    found = {reader for name, indices in kept.items() if len(indices) < groups.of(name).size
             for reader in groups.of(name).readers}
    return [name for name, layer in groups.trace.layers.items() if name in found and layer.type in TYPES]


def reconstruct(groups, kept, whole, pruned, layers=None, places=10, ridge=1e-4, rows=2048, seed=0):
    """Refit `layers` (by default `readers_of`) of the pruned net, in place in its caffe.Net; yields each when done.

    `whole` and `pruned` are Samplers of the net before and after, on the same batches. From every picture `places`
    random outputs are taken of a convolution, all of an inner product. A layer of more than LARGEST_SYSTEM inputs is
    fitted to a sample of `rows` of them. `ridge` is relative to the mean square of the inputs.
    """
    rng = np.random.default_rng(seed)
    mask = groups.keep_mask(kept)
    for name in readers_of(groups, kept) if layers is None else layers:
        layer = groups.trace.layers.get(name)
        if layer is None or layer.type not in TYPES:
            raise RequestError(f"layer '{name}' cannot be reconstructed, expected one of type {' or '.join(TYPES)}")
        _refit(layer, _kept_outputs(groups, layer, mask), whole, pruned, places, ridge, rows, rng)
        yield name


def _kept_outputs(groups, layer, mask):
    """Indices of the layer's own outputs that are still there."""
    if layer.name not in groups.trace.made:
        raise RequestError(f"layer '{layer.name}' only carries channels, expected a layer that reads and makes them")
    return np.flatnonzero(mask[groups.trace.made[layer.name].ids])


def _refit(layer, outputs, whole, pruned, places, ridge, rows, rng):
    params = pruned.net.params[layer.name]
    start = _matrices(layer, params)
    few = len(start[0]) <= LARGEST_SYSTEM
    fits = [NormalEquations(*m.shape) if few else SampledRows(rows, rng) for m in start]
    before, after = [pruned.before(layer.name)], [whole.after(layer.name, layer.top[0])]
    for (inputs,), (wanted,) in zip(pruned.blobs(before), whole.blobs(after)):
        for fit, (x, y) in zip(fits, _rows(layer, inputs, wanted[:, outputs], len(params) > 1, places, rng)):
            fit.add(x, y)
    _store(layer, params, [fit.solution(matrix, ridge) for fit, matrix in zip(fits, start)])


def _groups(layer):
    return layer.convolution_param.group if layer.type == 'Convolution' else 1


def _is_transposed(layer):
    return layer.type == 'InnerProduct' and layer.inner_product_param.transpose


def _matrices(layer, params):
    """The layer's weights as (inputs × outputs) per group of a convolution, the bias as a last row."""
    weights = np.array(params[0].data, np.float64)
    rows = weights if _is_transposed(layer) else weights.reshape(len(weights), -1).T
    if len(params) > 1:
        rows = np.concatenate([rows, np.array(params[1].data, np.float64).reshape(1, -1)])
    return np.split(rows, _groups(layer), axis=1)


def _store(layer, params, matrices):
    rows = np.concatenate(matrices, axis=1)
    if len(params) > 1:
        params[1].data[...] = rows[-1].reshape(params[1].data.shape)
        rows = rows[:-1]
    params[0].data[...] = rows if _is_transposed(layer) else rows.T.reshape(params[0].data.shape)


def _rows(layer, inputs, wanted, has_bias, places, rng):
    """[(x, y)] per group of a convolution: what the layer reads and should give, a row per sampled output place."""
    if layer.type == 'Convolution':
        window = window_of(layer)
        where = sample_places(inputs.shape, window, places, rng)
        x, y = patches_at(inputs, window, where), wanted[where[0], :, where[1], where[2]]
    else:
        x, y = inputs, wanted.reshape(len(inputs), -1)
    parts = [part.reshape(len(y), -1) for part in np.split(x, _groups(layer), axis=1)]
    if has_bias:
        parts = [np.concatenate([part, np.ones((len(y), 1), part.dtype)], axis=1) for part in parts]
    return list(zip(parts, np.split(y, _groups(layer), axis=1)))
