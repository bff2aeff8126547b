"""The base of every layer and the table of types that a prototxt can name."""

from collections.abc import Callable, Collection, Sequence
from os.path import commonprefix
from typing import ClassVar, Literal, NoReturn, TypeVar

import numpy as np
import torch

from caffe import device as mode
from caffe.blobs.blob import Blob
from caffe.blobs.number import Number
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, own_layers
from caffe.proto.dialects.foreign_layers import foreign_of, forks_with

# how many bottoms or tops a layer takes: exactly so many, or (min, max) with None for no bound
BlobCount = int | tuple[int, int | None]
LayerClass = TypeVar('LayerClass', bound='type[Layer]')
# whether a class stands for a LayerParameter of its type's name
Condition = Callable[[caffe_pb2.LayerParameter], bool]

_types: dict[str, list[tuple[Condition | None, 'type[Layer]']]] = {}  # those with a condition first


def register(*names: str, when: Condition | None = None) -> Callable[[LayerClass], LayerClass]:
    """Class decorator: make a Layer known under one or more Caffe type names.

    Forks have different layers of one name: a class with `when` stands for those of which it is true, and the class
    without it for all others. Raises CaffeError for a second class of one name that would stand for all.
    """

    def add(cls: LayerClass) -> LayerClass:
        for name in names:
            classes = _types.setdefault(name, [])
            taken = next((other for condition, other in classes if condition is None and when is None), None)
            if taken:
                raise CaffeError(
                    f"layer type '{name}' is that of class {taken.__name__} in {taken.__module__} already, "
                    'expected another name'
                )
            classes.insert(0 if when else len(classes), (when, cls))
        return cls

    return add


def _class_of(param: caffe_pb2.LayerParameter) -> 'type[Layer]':
    """The class of the layer that a LayerParameter of a known type describes."""
    return next(cls for when, cls in _types[param.type] if when is None or when(param))


def layer_types() -> list[str]:
    """The sorted names of all types that exist."""
    return sorted(_types)


def check_types(params: Collection[caffe_pb2.LayerParameter]) -> None:
    """CaffeError for the first LayerParameter of a type that does not exist, with all other such types of `params`.

    Likewise for one of an existing type with a parameter of a layer that does not exist.
    """
    own_layers.check()
    unknown: dict[str, caffe_pb2.LayerParameter] = {}
    for param in params:
        if param.type not in _types:
            unknown.setdefault(param.type, param)
        elif foreign_of(param):
            raise CaffeError(
                f"layer '{param.name}' ({param.type}): {foreign_of(param)[0]}: not implemented; forks that have it: "
                f'{", ".join(forks_with(param))}'
            )
    if not unknown:
        return
    kind, first = next(iter(unknown.items()))
    others = ', '.join(f"'{other}'" for other in [*unknown][1:])
    also = f' (further layers are of the unknown types {others})' if others else ''
    meant = next((known for known in layer_types() if _is_slip(kind.lower(), known.lower())), None)
    forks = forks_with(first)
    if forks and (foreign_of(first) or not meant):
        raise CaffeError(
            f"layer '{first.name}' has type '{kind}', which is not implemented{also}; forks that have it: "
            f'{", ".join(forks)}'
        )
    hint = f"did you mean '{meant}'?" if meant else f'expected one of: {", ".join(layer_types())}'
    raise CaffeError(f"layer '{first.name}': unknown type '{kind}'{also}, {hint}")


def _is_slip(word: str, known: str) -> bool:
    """Whether `word` is `known` but for one letter inside that is added, missing, wrong or swapped with the next.

    Short words, ends and digits must agree: ReLU6 and CReLU are other functions than ReLU.
    """
    if word == known:
        return True
    start = len(commonprefix([word, known]))
    end = len(commonprefix([word[start:][::-1], known[start:][::-1]]))
    old, new = word[start : len(word) - end], known[start : len(known) - end]
    one = len(old) <= 1 and len(new) <= 1 or len(old) == 2 and old == new[::-1]
    return one and min(start, end) > 0 and len(known) >= 6 and not any(map(str.isdigit, old + new))


def layer_class(name: str) -> type['Layer']:
    """The class of the layers of an existing type, where their parameters choose no other one."""
    return _class_of(caffe_pb2.LayerParameter(type=name))


def create_layer(param: caffe_pb2.LayerParameter, phase: int) -> 'Layer':
    """Make the layer that a LayerParameter of a known type describes; its blobs and tops are not set up yet."""
    layer = _class_of(param)(param, phase)
    if param.true_gradient and not layer.has_true_gradient:
        with_switch = sorted(name for name, classes in _types.items() if any(c.has_true_gradient for _, c in classes))
        layer.error(f'has no switch true_gradient, expected it in layers of: {", ".join(with_switch)}')
    return layer


class Layer:
    """One layer of a net: its parameters, and forward and backward on blobs, stated explicitly.

    `blobs` are its learned parameters. Subclasses state how many bottoms and tops they take as an exact number or as
    (min, max) with None for no bound, and override `setup`, `reshape`, `forward` and `backward`. Where a net will never
    run a layer's backward, `needs_backward` is False and forward need not keep anything for it.

    Others, such as folding and the export to ONNX, read attributes without an underscore, which `setup` and `reshape`
    set for the present shapes; classes state those that no field of the prototxt explains.

    Nobody tests for the types of layers: what can be done with a layer is stated here, in its class. The defaults are
    true of every layer, so a class that states nothing is right, if not as fast as it could be:

    - `kept` and `reads_back` let training free what no backward will read;
    - `infer` lets inference run the layer without its blobs;
    - `no_capture` None lets CUDA graphs replay the layer;
    - `folds_as` lets inference compute it together with its neighbours over weights folded once. State what it is and,
      if that depends on its parameters or the bottom, override `can_fold`. 'affine' (a factor and a shift for each
      channel), 'product' (a matrix over all axes behind the first) and 'convolution' need `linear`, which by default
      gives the blobs; 'activation' (each value by itself) needs `infer` or `activation`;
    - `per_channel`, `channel_blobs`, `values_from`, `over_time` and `passes_bottom_on` are facts for whoever prunes,
      rewrites or exports nets;
    - `macs` and `to_onnx` state costs and ONNX form of a type that the workflow and the export know nothing of.
    """

    bottoms: BlobCount = (0, None)
    tops: BlobCount = (0, None)
    # whether the first top counts towards the net's loss with weight 1 where the prototxt gives no loss_weight
    loss: ClassVar[bool] = False
    # whether tops that the prototxt leaves out are made all the same, without names, as those of losses
    auto_top: ClassVar[bool] = False
    # whether a top may be the bottom of the same index: only where it has the bottom's shape and genuine Caffe computes
    # the same values in place as elsewhere
    in_place: ClassVar[bool] = False
    needs_backward: bool = True
    # names of attributes that forward sets for the backward behind it alone; None where that is not known
    kept: ClassVar[Sequence[str] | None] = None
    # the blobs whose data backward reads besides: 'bottom', 'top'
    reads_back: Sequence[str] = ('bottom', 'top')
    # a function from the bottoms' tensors to those of the one top, each picture by itself and nothing kept for later,
    # for layers that need no backward; None where there is none
    infer: Callable[..., torch.Tensor] | None = None
    # what the layer can be folded as, by itself or with those before and behind it, where `can_fold` agrees
    folds_as: ClassVar[Literal['convolution', 'product', 'affine', 'activation'] | None] = None
    # whether the top has the bottom's shape, and each of its channels follows from the same channel alone
    per_channel: ClassVar[bool] = False
    # indices of the `blobs` of such a layer that have one value for each channel
    channel_blobs: ClassVar[Sequence[int]] = ()
    # a method from the shapes of bottoms and tops to the multiply-accumulates of one forward on them, as the workflow's
    # costs count them; None for none, and for types that it knows itself
    macs: Callable[..., int] | None = None
    # a method (graph, x, shapes of bottoms and of tops) that gives the names of the tops' ONNX values, made of those
    # of the bottoms, `x`; None where there is none, and for types that caffe.export knows itself
    to_onnx: Callable[..., list[str]] | None = None
    # whether every top is the bottom's data itself
    passes_bottom_on: ClassVar[bool] = False
    # whether the first axis counts steps of time, where it counts pictures or other items elsewhere
    over_time: ClassVar[bool] = False
    # axes of the tops whose sizes follow from values of the bottoms, not from their shapes alone
    open_axes: ClassVar[Sequence[int]] = ()
    # where the values of a layer without bottoms come from: from whoever runs the net, blob by blob ('caller') or as
    # arrays of many items ('arrays'), from a filler ('filler') or from files ('files')
    values_from: ClassVar[Literal['caller', 'arrays', 'filler', 'files'] | None] = None
    # why no CUDA graph can replay the layer's passes; None where one can: forward and backward only queue operators,
    # read no value on the host, keep no tensors for the next pass, and decide in Python by shapes and the prototxt
    # alone. Whatever else changes from pass to pass is set in `advance`, as a Number where it goes into a formula
    no_capture: str | None = 'it does not say that its passes can be captured'
    # the layer's own Numbers, which `advance` sets
    numbers: Sequence[Number] = ()
    # indices of bottoms that never get a diff, such as labels
    no_diff_bottoms: Sequence[int] = ()
    # whether `true_gradient` is a switch of this layer: what its fork computes is not the derivative of its forward
    has_true_gradient: ClassVar[bool] = False

    def __init__(self, param: caffe_pb2.LayerParameter, phase: int = 0) -> None:
        self.param = param
        self.phase = phase
        self.blobs: list[Blob] = []
        self.param_propagate_down: list[bool] = []

    @property
    def name(self) -> str:
        """The layer's name in its net."""
        return self.param.name

    @property
    def type(self) -> str:
        """The Caffe type name."""
        return self.param.type

    @property
    def true_gradient(self) -> bool:
        """Whether backward gives the derivative of forward where its fork computes something else."""
        return self.param.true_gradient

    @property
    def device(self) -> torch.device:
        """The torch.device to compute on."""
        return mode.device()

    def error(self, message: str) -> NoReturn:
        """Raise CaffeError with a message that names this layer."""
        raise CaffeError(f"layer '{self.name}' ({self.type}): {message}")

    def refuse_gradient(self, propagate_down: Sequence[bool], index: int, held: str) -> None:
        """CaffeError where backward wants a gradient of bottom `index`, which holds `held`, such as labels."""
        if propagate_down[index]:
            self.error(f'bottom {index} holds {held} and has no gradient, expected one that nothing learned produces')

    def check_counts(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Raise CaffeError unless the layer has as many bottoms and tops as its type takes."""
        for what, wanted, have in (('bottom', self.bottoms, len(bottom)), ('top', self.tops, len(top))):
            low, high = wanted if isinstance(wanted, tuple) else (wanted, wanted)
            if have < low or (high is not None and have > high):
                text = str(low) if low == high else f'{low} or more' if high is None else f'{low} to {high}'
                self.error(f'has {have} {what} blobs, expected {text}')

    def check_channels(self, shape: Sequence[int]) -> None:
        """Raise CaffeError unless a bottom of this shape has channels: at least 2 axes."""
        if len(shape) < 2:
            self.error(f'bottom of shape {shape}, expected at least 2 axes (num, channels)')

    def check_picture(self, shape: Sequence[int]) -> None:
        """Raise CaffeError unless a bottom of this shape holds pictures: 4 axes."""
        if len(shape) != 4:
            self.error(f'bottom of shape {shape}, expected 4 axes (num, channels, height, width)')

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the parameters and create `blobs`; called once, before the first `reshape`."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the tops their shapes; called before every forward."""

    def advance(self) -> None:
        """Count one forward, where anything depends on how many there were; called before each."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the tops from the bottoms."""
        raise NotImplementedError

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Overwrite the diffs of the bottoms marked in `propagate_down`, add to the diffs of `blobs`."""

    def can_fold(self, shape: tuple[int, ...]) -> bool:
        """Whether the layer, with one bottom of that shape, does what `folds_as` says and nothing else."""
        return self.folds_as is not None

    def linear(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(weight, bias) of a layer that multiplies and adds, in double precision.

        The bias has a value for each output (N), the weight a row for each (N, ...), or a factor for each channel (N).
        """
        weight, *bias = [blob.tensor.double() for blob in self.blobs]
        return weight, bias[0] if bias else weight.new_zeros(len(weight))

    def activation(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """A function that an activation applies to a tensor that nothing else uses: it may change it in place."""
        assert self.infer is not None
        return self.infer

    def onednn_activation(self) -> tuple[str, list[float]] | None:
        """The name and the numbers under which oneDNN's kernels of PyTorch know an activation; None for others."""
        return None

    def blobs_of_module(self, tensor: Callable[[str], np.ndarray]) -> list[np.ndarray]:
        """Values for `blobs` from the PyTorch module that computes the same; `tensor(name)` is one of its tensors."""
        return [tensor(name) for name in ('weight', 'bias')[: len(self.blobs)]]

    def forget(self) -> None:
        """Drop what forward kept for backward."""
        for name in self.kept or ():
            setattr(self, name, None)

    def axis(self, index: int, blob: Blob, what: str = 'axis') -> int:
        """`index` as a non-negative axis of `blob` (negative counts from the end); CaffeError when out of range."""
        axes = len(blob.shape)
        if not -axes <= index < axes:
            self.error(f'{what} {index} is out of range for a blob of shape {blob.shape}')
        return index % axes
