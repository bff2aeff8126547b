"""Nets of forks as nets of BVLC's Caffe 1.0: the same outputs from layers that every Caffe has, where that is exact."""

from dataclasses import dataclass

import numpy as np

from caffe.blobs.blob import set_values
from caffe.errors import CaffeError
from caffe.export.bvlc import activation, norm, pictures, product, vision  # noqa: F401 - their rules
from caffe.export.bvlc.replacement import Replacement, replace
from caffe.net.net import Net
from caffe.proto import caffe_pb2, dialects

TARGETS = ('bvlc', 'opencv')


@dataclass
class Converted:
    """A net in layers of BVLC's, and the values of its parameters by the names of its layers."""

    param: caffe_pb2.NetParameter
    values: dict[str, list[np.ndarray]]

    def net(self) -> Net:
        """The converted net with its weights."""
        net = Net(self.param, caffe_pb2.TEST)
        for name, arrays in self.values.items():
            for blob, array in zip(net.layer_dict[name].blobs, arrays, strict=True):
                set_values(blob, array)
        return net


def to_bvlc(net: Net, target: str = 'bvlc', has_weights: bool = True) -> Converted:
    """A TEST net in BVLC's layers; for the target 'opencv', those of SSD that OpenCV's importer has stay, too.

    Blobs keep their names, but for those that a layer changed in place which has become several. `has_weights` is False
    where the parameters are those of the fillers. Raises CaffeError naming the layer that has no such form, and why.
    """
    if target not in TARGETS:
        raise CaffeError(f"there is no target '{target}', expected one of {', '.join(TARGETS)}")
    names, values = _Names(), {}
    param = caffe_pb2.NetParameter(name=net.name)
    for layer, bottom, top in zip(net.layers, net.wiring.bottoms, net.wiring.tops):
        bottoms = names.read_by(layer.param)
        if layer.type == 'Split':
            continue
        made = Replacement(layer, bottoms, [b.shape for b in bottom], [t.shape for t in top], has_weights)
        replace(made, target)
        param.layer.extend(names.written_by(made))
        values.update(made.values)
    names.settle(param)
    if target == 'bvlc':
        dialects.net_to_bytes(param, target, net.name or 'net')
    return Converted(param, values)


class _Names:
    """Names of blobs: what one layer changed in place is another blob once several layers do it."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._sources: set[str] = set()
        self._parts: dict[str, str] = {}  # a blob that a Split made → the one that it splits

    def read_by(self, layer: caffe_pb2.LayerParameter) -> list[str]:
        """The bottoms of a layer as its prototxt has them."""
        bottoms = [self._parts.get(name, name) for name in layer.bottom]
        if layer.type == 'Split':
            self._parts.update(dict.fromkeys(layer.top, bottoms[0]))
        return bottoms

    def written_by(self, made: Replacement) -> list[caffe_pb2.LayerParameter]:
        """The new layers of a layer with the version of every blob in its name, until `settle`."""
        before = dict(self._versions)
        for new in made.new_layers:
            in_place = len(made.new_layers) == 1 and set(new.top) & set(new.bottom)
            new.bottom[:] = [_versioned(name, before.get(name, self._versions.get(name, 0))) for name in new.bottom]
            for i, name in enumerate(new.top):
                if name not in self._versions:
                    self._versions[name] = 0
                    self._sources |= set() if new.bottom else {name}
                elif not in_place:
                    self._versions[name] += 1
                new.top[i] = _versioned(name, self._versions[name])
        return made.new_layers

    def settle(self, param: caffe_pb2.NetParameter) -> None:
        """Give blobs their names: an input and the last version of any other keep theirs, the others get a number."""
        final = {}
        for name, last in self._versions.items():
            kept = 0 if name in self._sources else last
            final.update({_versioned(name, v): name if v == kept else f'{name}/{v}' for v in range(last + 1)})
        for layer in param.layer:
            for blobs in (layer.bottom, layer.top):
                blobs[:] = [final[name] for name in blobs]


def _versioned(name: str, version: int) -> str:
    return f'{name}\n{version}'
