"""The Net: layers connected by blobs, run forward and backward, with the interface of pycaffe."""

import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from caffe.blobs.blob import Blob
from caffe.device import cuda_graphs
from caffe.errors import CaffeError
from caffe.layer_errors import COMPUTING_ERRORS, named_after, raise_explained
from caffe.layers import check_types
from caffe.layers.source.memory_data import MemoryData
from caffe.layers.support.registry import Layer
from caffe.net import batches, construction_log
from caffe.net import caffemodel as weights
from caffe.net.captured import CapturedForward
from caffe.net.debug_info import DebugInfo
from caffe.net.fused_groups import Group, find_groups
from caffe.net.fused_segments import Segment, find_segments
from caffe.net.hdf5_weights import load_hdf5, save_hdf5
from caffe.net.phases import filter_net
from caffe.net.splits import insert_splits
from caffe.net.wiring import LearnableParameters, Wiring, read_phase
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net

Hook = Callable[[int], object]  # takes the index of a layer


class Net:
    """A network for one phase.

    Net(network_file, phase, level=0, stages=None, weights=None), or the old Net(network_file, weights, phase).
    `network_file` is a prototxt path or a NetParameter. Raises CaffeError naming file and layer for anything wrong.
    """

    def __init__(
        self,
        network_file: str | caffe_pb2.NetParameter,
        *args: Any,
        phase: int | None = None,
        level: int = 0,
        stages: Iterable[str] | None = None,
        weights: str | None = None,
    ) -> None:
        if args and isinstance(args[0], (str, bytes)):
            weights, args = os.fsdecode(args[0]), args[1:]
        if args:
            given: tuple[Any, ...] = (*args, *(level, stages, weights)[len(args) - 1 :])
            phase, level, stages, weights = given
        if not isinstance(level, int):
            raise CaffeError(f'level {level!r}: expected a whole number')
        self.phase = read_phase(phase)
        net = read_net(network_file)
        net.state.phase = self.phase
        net.state.level = level or net.state.level
        net.state.stage.extend(stages or ())
        # the file that errors name
        self.origin = network_file if isinstance(network_file, str) else None
        with named_after(self.origin):
            self._build(net)
        if weights:
            self.copy_from(weights)

    def _build(self, net: caffe_pb2.NetParameter) -> None:
        included = filter_net(net)
        check_types(included.layer)
        construction_log.begin(included)
        self.param = insert_splits(included)
        self.name = net.name
        self.wiring = Wiring(self.param, self.phase)
        self.layers = self.wiring.layers
        # index of a layer -> what runs it and some behind it as one; without these layers run one by one
        self.fused = _find_fused(self.wiring)
        self._hooks: dict[str, list[Hook]] = {
            'before_forward': [],
            'after_forward': [],
            'before_backward': [],
            'after_backward': [],
        }
        # index of a layer -> blobs to free after its forward, where memory is to be saved; no hook of
        # after_forward, with which all layers would run one by one
        self.free_after_forward: dict[int, list[Blob]] = {}
        # called with the index of a layer after its backward; no hook, which would keep graphs from replaying the net
        self.free_after_backward: Hook | None = None
        self._advancing = [(i, each) for i, each in enumerate(self.layers) if type(each).advance is not Layer.advance]
        # counts the calls of `run_forward`
        self.passes = 0
        self._captured: CapturedForward | None = None
        self.learnable = LearnableParameters(self.layers)
        self._make_index(self.wiring)
        self.debug_info = DebugInfo(self) if net.debug_info else None

    def _make_index(self, wiring: Wiring) -> None:
        """What pycaffe shows of layers and blobs, by name and by index."""
        self._blobs = list(wiring.blobs.values())
        self._blob_names = list(wiring.blobs)
        self._layer_names = [layer.name for layer in self.layers]
        self._layer_index = {name: i for i, name in enumerate(self._layer_names)}
        self.blobs = OrderedDict(wiring.blobs)
        self.params = OrderedDict((layer.name, layer.blobs) for layer in self.layers if layer.blobs)
        self.layer_dict = OrderedDict(zip(self._layer_names, self.layers))
        self.inputs, self.outputs = wiring.inputs, wiring.outputs
        self._inputs = [self._blob_names.index(name) for name in self.inputs]
        self._outputs = [self._blob_names.index(name) for name in self.outputs]
        self.bottom_names = OrderedDict((layer.name, list(layer.param.bottom)) for layer in self.layers)
        self.top_names = OrderedDict((layer.name, list(layer.param.top)) for layer in self.layers)
        loss = {id(top[j]): w for top, terms in zip(wiring.tops, wiring.loss_terms) for j, w in terms}
        self._blob_loss_weights = [loss.get(id(blob), 0.0) for blob in self._blobs]
        self.blob_loss_weights = OrderedDict(zip(self._blob_names, self._blob_loss_weights))

    # -- running ------------------------------------------------------------------------------------------------------

    def run_forward(self, start: int = 0, end: int | None = None) -> float | torch.Tensor:
        """Run layers `start` to `end` (inclusive indices); the weighted loss, a number or a tensor without axes."""
        with named_after(self.origin):
            last = len(self.layers) - 1 if end is None else end
            if (start, last) == (0, len(self.layers) - 1) and self.phase == caffe_pb2.TEST and cuda_graphs():
                self._captured = self._captured or CapturedForward(self)
                loss = self._captured.run()
                if loss is not None:
                    return loss
            return self._run_forward(start, last)

    def _run_forward(self, start: int, last: int) -> float | torch.Tensor:
        self.passes += 1
        self.advance(start, last)
        return self.compute(start, last)

    def advance(self, start: int, last: int, but: Container[int] = ()) -> None:
        """Count one forward in layers `start` to `last`, those whose indices `but` holds aside."""
        for i, layer in self._advancing:
            if start <= i <= last and i not in but:
                layer.advance()

    def compute(self, start: int, last: int, but: Container[int] = ()) -> float | torch.Tensor:
        """What `run_forward` does once the layers have counted, without the layers whose indices `but` holds."""
        hooks, i = self._hooks, start
        loss: float | torch.Tensor = 0.0
        fused = {} if hooks['before_forward'] or hooks['after_forward'] else self.fused
        while i <= last:
            done_to = self._run_fused(fused[i], i, last) if i in fused else i
            if done_to > i:
                i = done_to
                continue
            if i in but:
                i += 1
                continue
            for hook in hooks['before_forward']:
                hook(i)
            self.run_layer(i)
            for j, weight in self.wiring.loss_terms[i]:
                loss = loss + weight * self.wiring.tops[i][j].tensor.sum()
            for hook in hooks['after_forward']:
                hook(i)
            for blob in self.free_after_forward.get(i, ()):
                blob.free_data()
            i += 1
        return loss

    def _run_fused(self, candidates: list[Segment | Group], i: int, last: int) -> int:
        """Run layers from `i` to `last` at most by the first candidate that can; the index of the first layer to do."""
        try:
            for each in candidates:
                if each.last <= last and each.run():
                    return each.last + 1
        except COMPUTING_ERRORS as error:
            raise_explained(self.layers[i], error)
        return i

    def run_layer(self, i: int) -> None:
        """Reshape and run forward layer `i` by itself."""
        layer, bottom, top = self.layers[i], self.wiring.bottoms[i], self.wiring.tops[i]
        try:
            layer.reshape(bottom, top)
            layer.forward(bottom, top)
        except COMPUTING_ERRORS as error:
            raise_explained(layer, error, bottom)

    def run_backward(self, start: int | None = None, end: int = 0) -> None:
        """Run backward from layer `start` down to layer `end` (inclusive indices)."""
        with named_after(self.origin):
            self._run_backward(len(self.layers) - 1 if start is None else start, end)

    def _run_backward(self, start: int, end: int) -> None:
        wiring, hooks = self.wiring, self._hooks
        for i in range(start, end - 1, -1):
            for hook in hooks['before_backward']:
                hook(i)
            if wiring.layer_needs[i]:
                try:
                    self.layers[i].backward(wiring.tops[i], wiring.bottom_needs[i], wiring.bottoms[i])
                except COMPUTING_ERRORS as error:
                    raise_explained(self.layers[i], error, wiring.bottoms[i])
            for hook in hooks['after_backward']:
                hook(i)
            if self.free_after_backward:
                self.free_after_backward(i)

    def _forward(self, start: int, end: int) -> float:
        """Run layers `start` to `end` by index and return the loss as a float."""
        return float(self.run_forward(start, end))

    def _backward(self, start: int, end: int) -> None:
        self.run_backward(start, end)

    def forward(
        self,
        blobs: Collection[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: ArrayLike,
    ) -> dict[str, np.ndarray]:
        """Run forward, from layer `start` to layer `end` by name.

        Keyword arguments are inputs by blob name, arrays of the blob's shape. Returns {name: data view} of the net's
        outputs (or the tops of `end`) and of the names in `blobs`.
        """
        first = self._index_of(start, 0)
        last = self._index_of(end, len(self.layers) - 1)
        names = list(self.top_names[end]) if end is not None else list(self.outputs)
        self._fill(kwargs, self.inputs, 'data', 'Input')
        self._forward(first, last)
        return {name: self._blob(name).data for name in dict.fromkeys(names + list(blobs or ()))}

    def backward(
        self,
        diffs: Collection[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: ArrayLike,
    ) -> dict[str, np.ndarray]:
        """Run backward, from layer `start` down to layer `end` by name.

        Keyword arguments are output diffs by blob name. Returns {name: diff view} of the net's inputs (or the bottoms
        of `end`) and of the names in `diffs`.
        """
        first = self._index_of(start, len(self.layers) - 1)
        last = self._index_of(end, 0)
        names = list(self.bottom_names[end]) if end is not None else list(self.inputs)
        self._fill(kwargs, self.outputs, 'diff', 'Top diff')
        self._backward(first, last)
        return {name: self._blob(name).diff for name in dict.fromkeys(names + list(diffs or ()))}

    def _bottom_ids(self, index: int) -> list[int]:
        """The indices among `_blobs` of the bottoms of layer `index`."""
        return [self._blob_names.index(name) for name in self.layers[index].param.bottom]

    def _top_ids(self, index: int) -> list[int]:
        """The indices among `_blobs` of the tops of layer `index`."""
        return [self._blob_names.index(name) for name in self.layers[index].param.top]

    def _index_of(self, name: str | None, default: int) -> int:
        if name is None:
            return default
        if name not in self._layer_index:
            raise CaffeError(f"net '{self.name}' has no layer '{name}'")
        return self._layer_index[name]

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise CaffeError(f"net '{self.name}' has no blob '{name}'")
        return self.blobs[name]

    def _fill(self, arrays: dict[str, ArrayLike], expected: list[str], side: str, what: str) -> None:
        if arrays and set(arrays) != set(expected):
            raise CaffeError(f'{what} blob arguments are {sorted(arrays)}, the net expects {sorted(expected)}')
        for name, array in arrays.items():
            blob, values = self.blobs[name], np.asarray(array)
            if values.shape[:1] != blob.shape[:1]:
                raise CaffeError(f"{what} '{name}' is not batch sized: {values.shape} for a blob of shape {blob.shape}")
            getattr(blob, side)[...] = values

    forward_all = batches.forward_all
    forward_backward_all = batches.forward_backward_all

    def reshape(self) -> None:
        """Propagate the shapes of the input blobs through all layers without computing."""
        with named_after(self.origin):
            for layer, bottom, top in zip(self.layers, self.wiring.bottoms, self.wiring.tops):
                try:
                    layer.reshape(bottom, top)
                except COMPUTING_ERRORS as error:
                    raise_explained(layer, error, bottom)

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Feed the net's MemoryData layer from arrays (N, C, H, W) and (N,) or (N, 1, 1, 1)."""
        if not self.layers or not isinstance(self.layers[0], MemoryData):
            raise CaffeError(f"net '{self.name}': set_input_arrays needs a MemoryData layer as the first layer")
        self.layers[0].reset(data, labels)

    # -- parameters ---------------------------------------------------------------------------------------------------

    def clear_param_diffs(self) -> None:
        """Set the diffs of all parameters to zero."""
        for blob in self.learnable.blobs:
            blob.clear_grad()

    def copy_from(self, path: str) -> None:
        """Take parameters from a .caffemodel (binary or HDF5) for layers of the same name."""
        weights.copy_from(self, path)

    def share_with(self, other: 'Net') -> None:
        """Use the parameters of another net's layers of the same name as this net's own."""
        weights.share(self, other)

    def save(self, path: str, with_diff: bool = False) -> None:
        """Write the net with its parameters (and their diffs) as a binary .caffemodel, whole or not at all."""
        weights.save(self, path, with_diff)

    def save_hdf5(self, path: str, with_diff: bool = False) -> None:
        """Write the parameters as HDF5, whole or not at all."""
        save_hdf5(self, path, with_diff)

    def load_hdf5(self, path: str) -> None:
        """Take parameters from an HDF5 file for layers of the same name."""
        load_hdf5(self, path)

    # -- hooks --------------------------------------------------------------------------------------------------------

    @property
    def is_hooked(self) -> bool:
        """Whether anybody looks at layers while they run."""
        return any(self._hooks.values())

    def before_forward(self, hook: Hook) -> None:
        """Call `hook(layer_index)` before each layer's forward."""
        self._hooks['before_forward'].append(hook)

    def after_forward(self, hook: Hook) -> None:
        """Call `hook(layer_index)` after each layer's forward."""
        self._hooks['after_forward'].append(hook)

    def before_backward(self, hook: Hook) -> None:
        """Call `hook(layer_index)` before each layer's backward."""
        self._hooks['before_backward'].append(hook)

    def after_backward(self, hook: Hook) -> None:
        """Call `hook(layer_index)` after each layer's backward."""
        self._hooks['after_backward'].append(hook)


def _find_fused(wiring: Wiring) -> dict[int, list[Segment | Group]]:
    """{index of the first layer: [Segment or Group]}, the longer ones before what they are made of."""
    lists = wiring.layers, wiring.bottoms, wiring.tops, wiring.loss_terms
    groups = find_groups(*lists)
    fused: dict[int, list[Segment | Group]] = {i: [group] for i, group in groups.items()}
    for i, segment in find_segments(*lists, groups).items():
        fused.setdefault(i, []).insert(0, segment)
    return fused
