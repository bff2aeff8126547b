"""Folding: norms, scales and biases become part of the weights before or behind them.

What is left computes the same in phase TEST, in fewer layers, on any Caffe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sphereslim.engine import caffe_pb2
from sphereslim.errors import SlimError
from sphereslim.net.layer_types import is_padded
from sphereslim.net.linear_weights import LinearWeights, takes_affine
from sphereslim.net.messages import copy_of
from sphereslim.net.phases import TEST, layers_in
from sphereslim.net.weights import blob_array, weight_layers
from sphereslim.rewrite.affine import Affine, NotFoldableError, affine_of, is_affine

_SHARING = ('Flatten', 'Reshape', 'Split')  # layers whose tops are the memory of their bottoms


@dataclass
class Folding:
    """A folded net with its weights.

    `merged` says into which layers each folded layer went, `left` why another one that may fold stays as it is, and
    `norms` which norms each layer took behind itself, as Affines.
    """

    net: caffe_pb2.NetParameter
    weights: caffe_pb2.NetParameter
    merged: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    norms: dict[str, list[Affine]] = field(default_factory=dict)


def fold(net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter) -> Folding:
    """The net as it is in phase TEST, with its affine layers folded where that is exact; the arguments stay.

    Behind a convolution or inner product anything affine folds into it that alone reads what it makes. In front of one,
    or of a mean that it reads, it folds where the shift needs no padding. Outputs keep their names.
    """
    return _Folder(net, weights).folded()


class _Folder:
    """A net in phase TEST while layers leave it."""

    def __init__(self, net: caffe_pb2.NetParameter, weights: caffe_pb2.NetParameter) -> None:
        self.layers = [_without_rules(layer) for layer in layers_in(net, TEST)]
        self.result = Folding(copy_of(net), copy_of(weights))
        self.stored = weight_layers(self.result.weights)
        specs = [(layer.name, spec.name) for layer in net.layer for spec in layer.param if spec.name]
        self.shared = {layer for layer, name in specs if sum(name == other for _, other in specs) > 1}

    def folded(self) -> Folding:
        candidates = [layer for layer in self.layers if is_affine(layer)]
        reasons: dict[str, list[str]] = {}
        for order, into in ((candidates, self._into_maker), (candidates[::-1], self._into_readers)):
            for layer in order:
                if layer.name not in self.result.merged:
                    try:
                        into(layer)
                    except NotFoldableError as reason:
                        reasons.setdefault(layer.name, []).append(str(reason))
        merged = self.result.merged
        self.result.left = {
            layer.name: '; '.join(dict.fromkeys(reasons[layer.name]))
            for layer in candidates
            if layer.name not in merged and not _joins(layer)
        }
        self._drop_unread_constants()
        del self.result.net.layer[:]
        self.result.net.layer.extend(self.layers)
        self._drop_weights()
        return self.result

    def _into_maker(self, layer: caffe_pb2.LayerParameter) -> None:
        """Fold a layer into the one that makes what it reads."""
        place = self.layers.index(layer)
        blob, affine = self._affine(place)
        start = self._maker(place, blob)
        maker = self.layers[start]
        linear = self._linear(maker)
        if self._readers(start, blob) != [place]:
            raise NotFoldableError(f"layer '{maker.name}' before it has other readers too")
        if affine.channels not in (1, linear.outputs):
            raise NotFoldableError(f"has {affine.channels} values, '{maker.name}' makes {linear.outputs} channels")
        linear.scale_outputs(affine.factor, affine.shift)
        linear.store()
        maker.top[0] = layer.top[0]
        if affine.variance is not None:
            self.result.norms.setdefault(maker.name, []).append(affine)
        self._remove(layer, [maker])

    def _into_readers(self, layer: caffe_pb2.LayerParameter) -> None:
        """Fold a layer into all that read what it makes."""
        place = self.layers.index(layer)
        blob, affine = self._affine(place)
        takers = [self._linear(self.layers[taker]) for taker in self._takers(place)]
        for linear in takers:
            _check_reads(linear.layer, linear, affine)
        for linear in takers:
            linear.scale_inputs(affine.factor, affine.shift)
            linear.store()
        for reader in self._readers(place, layer.top[0]):
            self.layers[reader].bottom[0] = blob
        self._remove(layer, [linear.layer for linear in takers])

    def _takers(self, place: int) -> list[int]:
        """The indices of the layers that read what a layer makes, or means of it."""
        readers = self._readers(place, self.layers[place].top[0])
        if not readers:
            raise NotFoldableError(f"'{self.layers[place].name}' makes an output of the net")
        return [taker for r in readers for taker in (self._takers(r) if _is_mean(self.layers[r]) else [r])]

    def _affine(self, place: int) -> tuple[str, Affine]:
        layer = self.layers[place]
        stored = self.stored[layer.name].blobs if layer.name in self.stored else ()
        if any(layer.loss_weight):
            raise NotFoldableError('has a loss weight')
        if len(layer.top) != 1:
            raise NotFoldableError(f'has {len(layer.top)} tops')
        if layer.top[0] in layer.bottom:
            self._check_memory(place)
        blobs = [blob_array(blob).astype(np.float64).ravel() for blob in stored]
        return affine_of(layer, blobs, self._constants(place))

    def _check_memory(self, place: int) -> None:
        """NotFoldableError if a layer works in place on memory that others read too."""
        place = self._maker(place, self.layers[place].top[0])
        while (layer := self.layers[place]).type in _SHARING:
            maker = self._maker(place, layer.bottom[0])
            if self._readers(maker, layer.bottom[0]) != [place]:
                raise NotFoldableError(f"works in place on what '{layer.name}' shares with other layers")
            place = maker

    def _linear(self, layer: caffe_pb2.LayerParameter) -> LinearWeights:
        """The weights of a layer; NotFoldableError unless it can take an Affine in."""
        name = f"'{layer.name}'"
        if not takes_affine(layer):
            raise NotFoldableError(f'{name} ({layer.type}) beside it has no weights that could take it in')
        if layer.name in self.shared:
            raise NotFoldableError(f'{name} shares its weights with another layer')
        if len(layer.bottom) != 1 or len(layer.top) != 1:
            raise NotFoldableError(f'{name} has several bottoms and tops')
        if any(layer.loss_weight):
            raise NotFoldableError(f'{name} has a loss weight')
        param = layer.inner_product_param if layer.type == 'InnerProduct' else layer.convolution_param
        if param.axis != 1:
            raise NotFoldableError(f'{name} works along axis {param.axis}, expected 1')
        if layer.name not in self.stored:
            raise NotFoldableError(f'the weights hold nothing for {name}')
        return LinearWeights(layer, self.stored[layer.name])

    def _constants(self, place: int) -> dict[str, float]:
        """{blob: its one value} of the bottoms of a layer that DummyData fills."""
        found = {}
        for blob in self.layers[place].bottom:
            value = _constant(self.layers[self._maker(place, blob)], blob)
            if value is not None:
                found[blob] = value
        return found

    def _maker(self, place: int, blob: str) -> int:
        """The index of the layer that made a blob as the layer at `place` reads it."""
        for index in range(place - 1, -1, -1):
            if blob in self.layers[index].top:
                return index
        raise SlimError(f"layer '{self.layers[place].name}' reads blob '{blob}', which no layer before it makes")

    def _readers(self, place: int, blob: str) -> list[int]:
        """The indices of the layers that read a blob as the layer at `place` makes it."""
        found = []
        for index in range(place + 1, len(self.layers)):
            if blob in self.layers[index].bottom:
                found.append(index)
            if blob in self.layers[index].top:
                break
        return found

    def _remove(self, layer: caffe_pb2.LayerParameter, into: Sequence[caffe_pb2.LayerParameter]) -> None:
        self.layers.remove(layer)
        self.result.merged[layer.name] = [other.name for other in into]

    def _drop_unread_constants(self) -> None:
        """Constants that nothing reads any more would be outputs."""
        read_before = {blob for layer in self.result.net.layer for blob in layer.bottom}
        self.layers = [
            layer
            for place, layer in enumerate(self.layers)
            if layer.type != 'DummyData'
            or read_before.isdisjoint(layer.top)
            or any(self._readers(place, top) for top in layer.top)
        ]

    def _drop_weights(self) -> None:
        """Leave out the weights of the layers that went into others."""
        for stored in (self.result.weights.layer, self.result.weights.layers):
            kept = [copy_of(layer) for layer in stored if layer.name not in self.result.merged]
            del stored[:]
            stored.extend(kept)


def _without_rules(layer: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    """A copy of a layer that is there in either phase."""
    result = copy_of(layer)
    result.ClearField('include')
    result.ClearField('exclude')
    return result


def _joins(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a layer computes with several blobs, so that nobody expects it to fold."""
    return layer.type == 'Eltwise' or len(layer.bottom) > 1


def _is_mean(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a layer gives means over places of a channel, whose windows never count a padding."""
    param = layer.pooling_param
    means = layer.type == 'Pooling' and param.pool == param.AVE
    return means and not is_padded(param) and not any(layer.loss_weight)


def _constant(layer: caffe_pb2.LayerParameter, blob: str) -> float | None:
    """The value that a DummyData fills a top with, None where it is not one."""
    if layer.type != 'DummyData':
        return None
    fillers = layer.dummy_data_param.data_filler
    if not fillers:
        return 0.0
    filler = fillers[list(layer.top).index(blob) if len(fillers) > 1 else 0]
    return float(filler.value) if filler.type == 'constant' else None


def _check_reads(layer: caffe_pb2.LayerParameter, linear: LinearWeights, affine: Affine) -> None:
    """NotFoldableError unless an Affine in front of a layer is exact in its weights."""
    if affine.channels > 1 and not linear.reads(affine.channels):
        raise NotFoldableError(f"has {affine.channels} values, '{layer.name}' reads other channels")
    if layer.type == 'InnerProduct' or not affine.shift.any():
        return
    param = layer.convolution_param
    if is_padded(param):
        raise NotFoldableError(f"'{layer.name}' behind it pads with zeros, to which its shift would not be added")
    strides = (*param.stride, param.stride_h or 1, param.stride_w or 1)
    if layer.type == 'Deconvolution' and (linear.weight.shape[3] > 1 or max(strides) > 1):
        raise NotFoldableError(f"'{layer.name}' behind it is a deconvolution, whose borders read less of its shift")
