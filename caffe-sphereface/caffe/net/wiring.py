"""From a NetParameter to connected layers: blobs, needs of backward, loss weights, shared parameters."""

from collections.abc import Iterable

from caffe.blobs.blob import Blob
from caffe.errors import CaffeError
from caffe.layer_errors import COMPUTING_ERRORS, raise_explained
from caffe.layers import create_layer
from caffe.layers.support.registry import Layer
from caffe.net import construction_log
from caffe.net.caffemodel import take_stated
from caffe.net.fused_groups import LossTerms
from caffe.proto import caffe_pb2


class BlobVec(list[Blob]):
    """The parameter blobs of one layer."""

    def add_blob(self, *shape: int) -> None:
        """Append a blob of the given shape, as Python layers do for parameters of their own."""
        self.append(Blob(*shape))


class Wiring:
    """The connected layers of a net.

    `layers`, `bottoms`, `tops` (lists of Blob), `bottom_needs` (bools) and `layer_needs` (a bool) run in parallel;
    `blobs` maps names to Blob in order of creation; `loss_terms[i]` lists (top index, weight); `outputs` and `inputs`
    are blob names.
    """

    def __init__(self, net: caffe_pb2.NetParameter, phase: int) -> None:
        self.layers: list[Layer] = []
        self.bottoms: list[list[Blob]] = []
        self.tops: list[list[Blob]] = []
        self.bottom_needs: list[list[bool]] = []
        self.layer_needs: list[bool] = []
        self.loss_terms: list[LossTerms] = []
        self.blobs: dict[str, Blob] = {}
        self.inputs: list[str] = []
        self._blob_needs: dict[str, bool] = {}
        self._available: dict[str, bool] = {}
        self._values = 0
        for param in net.layer:
            self._add(param, phase)
        if net.force_backward:
            self._force_backward()
        else:
            self._skip_where_no_loss()
        for layer, need in zip(self.layers, self.layer_needs):
            layer.needs_backward = need
        self.outputs = sorted(self._available)
        construction_log.done(self.layers, self.layer_needs, self.outputs)

    def _add(self, param: caffe_pb2.LayerParameter, phase: int) -> None:
        if not param.HasField('phase'):
            param.phase = phase
        construction_log.creating(param)
        layer = create_layer(param, param.phase)
        layer.blobs = BlobVec()
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            layer.error(
                f'propagate_down is given {len(param.propagate_down)} times, expected once per bottom '
                f'({len(param.bottom)}) or not at all'
            )
        bottom, needs = self._take_bottoms(layer, param)
        top = self._make_tops(layer, param)
        layer.check_counts(bottom, top)
        try:
            layer.setup(bottom, top)
            take_stated(layer)
            layer.reshape(bottom, top)
        except COMPUTING_ERRORS as error:
            raise_explained(layer, error, bottom)
        self.layers.append(layer)
        self.bottoms.append(bottom)
        self.tops.append(top)
        self.loss_terms.append(_loss_terms(layer, param, top))
        self._note_needs(layer, param, needs, top)
        self._values += sum(blob.count for blob in top)
        construction_log.set_up(layer.name, top, self.loss_terms[-1], self._values)

    def _take_bottoms(self, layer: Layer, param: caffe_pb2.LayerParameter) -> tuple[list[Blob], list[bool]]:
        bottom: list[Blob] = []
        needs: list[bool] = []
        for i, name in enumerate(param.bottom):
            if name not in self._available:
                layer.error(f"unknown bottom blob '{name}' (index {i}), expected the top of an earlier layer")
            bottom.append(self.blobs[name])
            needs.append(param.propagate_down[i] if param.propagate_down else self._blob_needs[name])
        for name in param.bottom:
            self._available.pop(name, None)
        return bottom, needs

    def _make_tops(self, layer: Layer, param: caffe_pb2.LayerParameter) -> list[Blob]:
        top = [self._make_top(layer, param, i, name) for i, name in enumerate(param.top)]
        wanted = layer.tops[0] if isinstance(layer.tops, tuple) else layer.tops
        missing = max(0, wanted - len(top)) if layer.auto_top else 0
        # tops that the prototxt does not name are no blobs of the net: no layer can read them
        return top + [Blob(0, name='(automatic)') for _ in range(missing)]

    def _make_top(self, layer: Layer, param: caffe_pb2.LayerParameter, index: int, name: str) -> Blob:
        in_place = index < len(param.bottom) and param.bottom[index] == name
        if in_place and not layer.in_place:
            layer.error(f"cannot run in place, its top {index} needs another name than its bottom, '{name}'")
        if not in_place and name in self.blobs:
            layer.error(f"top blob '{name}' is produced by an earlier layer too")
        blob = self.blobs[name] if in_place else Blob(0, name=name)
        self.blobs[name] = blob
        self._available[name] = True
        self._blob_needs.setdefault(name, False)
        if layer.values_from == 'caller':
            self.inputs.append(name)
        return blob

    def _note_needs(self, layer: Layer, param: caffe_pb2.LayerParameter, needs: list[bool], top: list[Blob]) -> None:
        if len(param.param) > len(layer.blobs):
            layer.error(
                f'has {len(param.param)} param blocks, expected at most one for each of {len(layer.blobs)} blobs'
            )
        rates = [param.param[i].lr_mult if i < len(param.param) else 1.0 for i in range(len(layer.blobs))]
        layer.param_propagate_down = [rate != 0 for rate in rates]
        if param.bottom and not layer.blobs and not any(param.propagate_down) and _takes_no_diff(layer, param):
            needs = [False] * len(needs)
            self.bottom_needs.append(needs)
            self.layer_needs.append(False)
            return
        self.bottom_needs.append(needs)
        need = any(needs) or any(self._blob_needs[n] for n in param.bottom) or any(layer.param_propagate_down)
        self.layer_needs.append(need)
        if need:
            self._blob_needs.update((name, True) for name in param.top)

    def _force_backward(self) -> None:
        self.layer_needs = [True] * len(self.layers)
        for layer, needs in zip(self.layers, self.bottom_needs):
            layer.param_propagate_down = [True] * len(layer.blobs)
            needs[:] = [n or i not in layer.no_diff_bottoms for i, n in enumerate(needs)]

    def _skip_where_no_loss(self) -> None:
        """No backward where no loss can reach, and none above blobs whose readers all skip it."""
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for i in reversed(range(len(self.layers))):
            tops = self.layers[i].param.top
            weighted = {j for j, _ in self.loss_terms[i]}
            carries = bool(weighted) or any(name in under_loss for name in tops)
            wanted = any(name not in skipped for name in tops) or bool(weighted)
            if not carries or not wanted:
                self.layer_needs[i] = False
                self.bottom_needs[i] = [False] * len(self.bottoms[i])
            for name, need in zip(self.layers[i].param.bottom, self.bottom_needs[i]):
                if carries:
                    under_loss.add(name)
                if not need:
                    skipped.add(name)


def _takes_no_diff(layer: Layer, param: caffe_pb2.LayerParameter) -> bool:
    """Whether none of its bottoms ever gets a diff, so that its tops need none."""
    return set(range(len(param.bottom))) <= set(layer.no_diff_bottoms)


def _loss_terms(layer: Layer, param: caffe_pb2.LayerParameter, top: list[Blob]) -> LossTerms:
    """[(top index, weight)] of the tops that count towards the loss; their diffs are set to the weight."""
    # as in genuine Caffe a loss without loss_weight has one, so that with more tops it needs one for each
    weights = list(param.loss_weight) or [1.0] * layer.loss
    if weights and len(weights) != len(top):
        choice = '' if layer.loss and len(top) > 1 else ' or not at all'
        layer.error(f'loss_weight is given {len(param.loss_weight)} times, expected once per top ({len(top)}){choice}')
    terms = [(i, weight) for i, weight in enumerate(weights) if weight]
    for i, weight in terms:
        top[i].grad = top[i].tensor.new_full(top[i].shape, weight)
    return terms


class LearnableParameters:
    """The parameters that a solver updates, each once, with its multipliers.

    `blobs[k]` is the owner's blob, `lr[k]` and `decay[k]` its lr_mult and decay_mult. Layers that name the same
    parameter share data and diff with its first user.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.blobs: list[Blob] = []
        self.lr: list[float] = []
        self.decay: list[float] = []
        self.names: list[tuple[str, int]] = []
        self._given: list[dict[str, bool]] = []
        owners: dict[str | tuple[str, int], int] = {}
        for layer in layers:
            for i, blob in enumerate(layer.blobs):
                spec = layer.param.param[i] if i < len(layer.param.param) else None
                name = spec.name if spec else ''
                if name and name in owners:
                    self._share(owners[name], blob, layer, i, spec)
                else:
                    owners[name or (layer.name, i)] = len(self.blobs)
                    self._own(blob, layer, i, spec)

    def _own(self, blob: Blob, layer: Layer, index: int, spec: caffe_pb2.ParamSpec | None) -> None:
        self.blobs.append(blob)
        self.lr.append(spec.lr_mult if spec else 1.0)
        self.decay.append(spec.decay_mult if spec else 1.0)
        self.names.append((layer.name, index))
        self._given.append({f: bool(spec and spec.HasField(f)) for f in ('lr_mult', 'decay_mult')})

    def _share(self, owner: int, blob: Blob, layer: Layer, index: int, spec: caffe_pb2.ParamSpec) -> None:
        source = self.blobs[owner]
        permissive = spec.share_mode == spec.PERMISSIVE
        if (blob.count != source.count) if permissive else (blob.shape != source.shape):
            layer.error(
                f"shares parameter '{spec.name}' with layer '{self.names[owner][0]}' whose shape is "
                f'{source.shape}, its own is {blob.shape}'
            )
        for field, values in (('lr_mult', self.lr), ('decay_mult', self.decay)):
            if spec.HasField(field):
                value = getattr(spec, field)
                if self._given[owner][field] and values[owner] != value:
                    layer.error(
                        f"shared parameter '{spec.name}' has {field} {value}, layer '{self.names[owner][0]}' "
                        f'gave {values[owner]}; expected the same'
                    )
                values[owner], self._given[owner][field] = value, True
        blob.share_data(source)
        blob.share_diff(source)


def read_phase(phase: int | None) -> int:
    """`phase` as 0 (TRAIN) or 1 (TEST); CaffeError otherwise."""
    if phase not in (0, 1):
        raise CaffeError(f'phase {phase!r}: expected caffe.TRAIN or caffe.TEST')
    return int(phase)
