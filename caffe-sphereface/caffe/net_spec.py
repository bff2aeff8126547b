"""Writing networks as Python: caffe.NetSpec, caffe.layers (L), caffe.params (P), caffe.to_proto.

n = NetSpec()
n.data = L.Input(shape=dict(dim=[1, 3, 8, 8]))
n.conv = L.Convolution(n.data, num_output=4, kernel_size=3, weight_filler=dict(type='xavier'))
n.relu = L.ReLU(n.conv, in_place=True)
text = str(n.to_proto())
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.message import Message

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

# what a net is written from: the layer of each Function so far, and the names that tops and layers have
Layered = OrderedDict['Function', caffe_pb2.LayerParameter]
Names = dict['Top | Function', str]


def param_name_dict() -> dict[str, str]:
    """{'Convolution': 'convolution', …}: the `…_param` field of LayerParameter by its `…Parameter` message."""
    fields = [f for f in caffe_pb2.LayerParameter.DESCRIPTOR.fields if f.name.endswith('_param') and f.message_type]
    return {f.message_type.name[: -len('Parameter')]: f.name[: -len('_param')] for f in fields}


def assign_proto(proto: Message, name: str, val: Any) -> None:
    """Set field `name` of a message: a dict fills a message, a list (or one value) a repeated field."""
    field = getattr(proto, name)
    if hasattr(field, 'extend'):
        val = val if isinstance(val, list) else [val]
        if any(isinstance(item, dict) for item in val):
            for item in val:
                _assign_all(field.add(), item)
        else:
            field.extend(val)
    elif isinstance(val, dict):
        field.SetInParent()
        _assign_all(field, val)
    else:
        setattr(proto, name, val)


def _assign_all(proto: Message, values: dict[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(proto, name, value)


def to_proto(*tops: Top) -> caffe_pb2.NetParameter:
    """The NetParameter that computes the given tops; all names are made up from the layer types."""
    return _net_of([top.fn for top in tops], {})


def _net_of(ends: Iterable[Top | Function], names: Names) -> caffe_pb2.NetParameter:
    """The NetParameter of the Functions or Tops `ends` and all before them; `names` gets names for those without."""
    layers: Layered = OrderedDict()
    autonames: Counter[str] = Counter()
    for end in ends:
        end._to_proto(layers, names, autonames)
    return caffe_pb2.NetParameter(layer=layers.values())


class Top:
    """Output number `n` of a Function: what layers are connected by."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The NetParameter that computes this top."""
        return to_proto(self)

    def _update(self, params: dict[str, Any]) -> None:
        self.fn._update(params)

    def _to_proto(self, layers: Layered, names: Names, autonames: Counter[str]) -> None:
        self.fn._to_proto(layers, names, autonames)


class Function:
    """A layer of a given type and parameters, applied to tops.

    `ntop` is the number of outputs (1) and `in_place` writes the outputs over the inputs; every other parameter is a
    field of the layer's own message or of LayerParameter.
    """

    def __init__(self, type_name: str, inputs: Sequence[Top], params: dict[str, Any]) -> None:
        self.type_name = type_name
        for index, item in enumerate(inputs):
            if not isinstance(item, Top):
                raise TypeError(f'{type_name} input {index} is not a Top (type is {type(item)})')
        self.inputs = inputs
        self.params = dict(params)
        self.ntop: int = self.params.pop('ntop', 1)
        self.in_place: bool = self.params.pop('in_place', False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _name_of(self, key: Top | Function, names: Names, autonames: Counter[str]) -> str:
        if key not in names:
            autonames[self.type_name] += 1
            names[key] = f'{self.type_name}{autonames[self.type_name]}'
        return names[key]

    def _own_name(self, names: Names, autonames: Counter[str]) -> str:
        """The layer's name: that of its first top, where it has one."""
        if self not in names and self.ntop > 0:
            names[self] = self._name_of(self.tops[0], names, autonames)
        return self._name_of(self, names, autonames)

    def _update(self, params: dict[str, Any]) -> None:
        self.params.update(params)

    def _to_proto(self, layers: Layered, names: Names, autonames: Counter[str]) -> None:
        """Add this layer to `layers`, after those of its inputs."""
        if self in layers:
            return
        for item in self.inputs:
            item._to_proto(layers, names, autonames)
        layer = caffe_pb2.LayerParameter(type=self.type_name)
        layer.bottom.extend(layers[item.fn].top[item.n] for item in self.inputs)
        layer.top.extend(layer.bottom if self.in_place else [self._name_of(top, names, autonames) for top in self.tops])
        layer.name = self._own_name(names, autonames)
        for name, value in self.params.items():
            self._assign(layer, name, value)
        layers[self] = layer

    def _assign(self, layer: caffe_pb2.LayerParameter, name: str, value: Any) -> None:
        own = _PARAM_NAMES.get(self.type_name)
        target = layer
        if not name.endswith('param') and own and hasattr(getattr(layer, f'{own}_param'), name):
            target = getattr(layer, f'{own}_param')
        try:
            assign_proto(target, name, value)
        except (AttributeError, TypeError, ValueError) as error:
            where = f"layer '{layer.name}' ({self.type_name})"
            reason = 'no such field' if isinstance(error, AttributeError) else error
            raise CaffeError(f'{where}: {name}={value!r} cannot be set ({reason})') from None


class NetSpec:
    """A network under construction: assigned tops get their attribute (or item) name as blob and layer name."""

    tops: OrderedDict[str, Top]

    def __init__(self) -> None:
        object.__setattr__(self, 'tops', OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__['tops'][name]
        except KeyError:
            raise AttributeError(f"NetSpec has no top '{name}'") from None

    def __setitem__(self, key: str, value: Top) -> None:
        self.tops[key] = value

    def __getitem__(self, item: str) -> Top:
        return self.tops[item]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __delitem__(self, key: str) -> None:
        del self.tops[key]

    def keys(self) -> list[str]:
        """The names of all tops."""
        return list(self.tops)

    def vals(self) -> list[Top]:
        """All tops."""
        return list(self.tops.values())

    def update(self, name: str, params: dict[str, Any]) -> None:
        """Change parameters of the layer of top `name`."""
        self.tops[name]._update(params)

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The NetParameter of all tops."""
        return _net_of(self.tops.values(), {top: name for name, top in self.tops.items()})


class Layers:
    """`Layers().Convolution(bottom, num_output=4, …)`: a Top, a tuple of them for ntop > 1, the Function for ntop 0."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def layer_fn(*args: Top, **kwargs: Any) -> Top | tuple[Top, ...] | Function | None:
            fn = Function(name, args, kwargs)
            return {0: fn, 1: fn.tops[0] if fn.tops else None}.get(fn.ntop, fn.tops)

        return layer_fn


class Parameters:
    """`Parameters().Pooling.MAX`: the enum values of the parameter messages."""

    def __getattr__(self, name: str) -> Any:
        message = getattr(caffe_pb2, f'{name}Parameter', None)
        if message is None:
            raise AttributeError(f"no message '{name}Parameter', expected the name of a layer's parameters")
        return message


_PARAM_NAMES = param_name_dict()
layers = Layers()
params = Parameters()
