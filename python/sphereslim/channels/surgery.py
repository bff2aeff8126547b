"""Cutting channels out of nets and weights, the same ones everywhere."""

import numpy as np

from sphereslim.channels.groups import Groups
from sphereslim.errors import SlimError
from sphereslim.net.messages import copy_of
from sphereslim.net.weights import blob_array, blob_shape, set_blob_array, weight_layers


def prune(nets, weights, kept, groups=None):
    """Remove channels from nets that share layers by name (say train and deploy) and from their common weights.

    `nets` is a list of NetParameters, `weights` the NetParameter of a caffemodel, `kept` says which units stay as
    {group or layer name: indices}; groups that are not named stay whole. `groups` may be given to save following the
    channels again. Returns (new nets, new weights); the arguments stay as they are. What loses nothing is copied byte
    for byte. SlimError where a request or the weights do not fit the nets.
    """
    groups = groups or Groups(*nets)
    mask = groups.keep_mask(kept)
    _check_left(groups.trace, mask)
    check_weights(groups, weights)
    edits = field_edits(groups, mask)
    weights = apply_edits(weights, edits)
    layers = weight_layers(weights)
    for (layer, blob), axes in _cut_axes(groups.trace, mask).items():
        if layer not in layers:
            raise SlimError(f"the weights hold no layer '{layer}', whose channels are to be cut")
        _cut(layers[layer].blobs[blob], axes, mask)
    return [apply_edits(net, edits) for net in nets], weights


def prune_prototxt(nets, kept, groups=None):
    """The nets without the removed channels, as `prune` gives them, where there are no weights."""
    groups = groups or Groups(*nets)
    mask = groups.keep_mask(kept)
    _check_left(groups.trace, mask)
    edits = field_edits(groups, mask)
    return [apply_edits(net, edits) for net in nets]


def field_edits(groups, mask):
    """{layer: {field path: new value}} for every prototxt field whose count of channels changes."""
    edits = {}
    for edit in groups.trace.edits.values():
        if not mask[edit.ids].all():
            value = [int(mask[edit.ids[:end]].sum()) for end in edit.ends]
            edits.setdefault(edit.layer, {})[edit.path] = value if edit.several else value[0]
    return edits


def apply_edits(net, edits):
    """A copy of a NetParameter with the fields of its layers set as in `edits`; layers without them stay."""
    result = copy_of(net)
    for layer in (*result.layer, *result.layers):
        for path, value in edits.get(layer.name, {}).items():
            message, name = path.split('.')
            _set_field(getattr(layer, message), name, value)
    return result


def _set_field(param, name, value):
    if isinstance(value, list):
        del getattr(param, name)[:]
        getattr(param, name).extend(value)
    else:
        setattr(param, name, value)


def check_weights(groups, weights, path=None):
    """SlimError, begun by the `path` of the weights, if they are those of another net or no numbers.

    It names the first layer whose shape does not fit, or which holds NaN or infinity.
    """
    try:
        _check_weights(groups, weights)
    except SlimError as error:
        raise SlimError(f'{path}: {error}' if path else str(error)) from None


def _check_weights(groups, weights):
    layers = weight_layers(weights)
    known = {axis.layer for axis in groups.trace.axes.values()}
    if not known.intersection(layers):
        raise SlimError('the weights hold none of the layers of the net, expected the weights of this net')
    for axis in groups.trace.axes.values():
        if axis.layer in layers:
            _check_axis(axis, layers[axis.layer].blobs)
    for name, layer in layers.items():
        if not all(np.isfinite(blob_array(blob)).all() for blob in layer.blobs):
            raise SlimError(
                f"weights of layer '{name}' are not all numbers, expected those of a training that did not explode"
            )


def _check_axis(axis, blobs):
    if len(blobs) <= axis.blob:
        raise SlimError(
            f"weights of layer '{axis.layer}' are {len(blobs)} blobs, "
            f'expected at least {axis.blob + 1}: they belong to another net'
        )
    shape = blob_shape(blobs[axis.blob])
    place = _place(shape, axis)
    size = shape[place] if place < len(shape) else 0
    if size % len(axis.ids) or not size or size != len(axis.ids) and not axis.block:
        expected = f'a multiple of {len(axis.ids)}' if axis.block else len(axis.ids)
        raise SlimError(
            f"weights of layer '{axis.layer}', blob {axis.blob}, have shape {shape}, "
            f'expected {expected} along axis {axis.axis}: they belong to another net'
        )


def _place(shape, axis):
    """Where an axis is in a stored shape, which may be padded with ones in front."""
    if axis.ndim == 1:
        return int(np.argmax(shape)) if shape else 0
    return axis.axis + (max(len(shape) - axis.ndim, 0) if axis.ndim else 0)


def _check_left(trace, mask):
    """Every layer that had channels keeps some."""
    flows = [(layer, flow.ids) for (layer, _), flow in trace.tops.items()]
    for layer, ids in [*flows, *((axis.layer, axis.ids) for axis in trace.axes.values())]:
        if not mask[ids].any():
            raise SlimError(f"layer '{layer}' would be left without channels, expected at least one to be kept")


def _cut_axes(trace, mask):
    """{(layer, blob): its axes that lose channels}."""
    cut = {}
    for axis in trace.axes.values():
        if not mask[axis.ids].all():
            cut.setdefault((axis.layer, axis.blob), []).append(axis)
    return cut


def _cut(blob, axes, mask):
    array = blob_array(blob)
    for axis in axes:
        place = _place(array.shape, axis)
        block = array.shape[place] // len(axis.ids)
        array = np.compress(np.repeat(mask[axis.ids], block), array, axis=place)
    set_blob_array(blob, array)
