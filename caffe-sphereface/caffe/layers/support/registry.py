"""The base of every layer and the table of types that a prototxt can name."""

from difflib import get_close_matches

from caffe import device as mode
from caffe.errors import CaffeError

_types = {}


def register(*names):
    """Class decorator: make a Layer known under one or more Caffe type names."""

    def add(cls):
        for name in names:
            _types[name] = cls
        return cls

    return add


def layer_types():
    """The sorted names of all types that exist."""
    return sorted(_types)


def check_types(params):
    """CaffeError for the first LayerParameter of a type that does not exist, with all other such types of `params`."""
    unknown = {}
    for param in params:
        if param.type not in _types:
            unknown.setdefault(param.type, param.name)
    if not unknown:
        return
    kind, name = next(iter(unknown.items()))
    others = ', '.join(f"'{other}'" for other in [*unknown][1:])
    also = f' (further layers are of the unknown types {others})' if others else ''
    near = get_close_matches(kind.lower(), [known.lower() for known in _types], 1, 0.85)
    hint = next(
        (f"did you mean '{known}'?" for known in _types if known.lower() in near),
        f'expected one of: {", ".join(layer_types())}',
    )
    raise CaffeError(f"layer '{name}': unknown type '{kind}'{also}, {hint}")


def create_layer(param, phase):
    """Make the layer that a LayerParameter of a known type describes; its blobs and tops are not set up yet."""
    return _types[param.type](param, phase)


class Layer:
    """One layer of a net: its parameters, and forward and backward on blobs, stated explicitly.

    `blobs` are its learned parameters. Subclasses state how many bottoms and tops they take as an exact number or as
    (min, max) with None for no bound, and override `setup`, `reshape`, `forward` and `backward`. Where a net will never
    run a layer's backward, `needs_backward` is False and forward need not keep anything for it.

    Others, such as folding and the export to ONNX, read attributes without an underscore, which `setup` and `reshape`
    set for the present shapes; classes state those that no field of the prototxt explains.
    """

    bottoms = (0, None)
    tops = (0, None)
    # whether the first top counts towards the net's loss with weight 1 where the prototxt gives no loss_weight
    loss = False
    # whether tops that the prototxt leaves out are made all the same, without names, as those of losses
    auto_top = False
    needs_backward = True
    # names of attributes that forward sets for the backward behind it alone; None where that is not known
    kept = None
    # the blobs whose data backward reads besides: 'bottom', 'top'
    reads_back = ('bottom', 'top')
    # a function from the bottoms' tensors to those of the one top, each picture by itself and nothing kept for later,
    # for layers that need no backward; None where there is none
    infer = None
    # indices of bottoms that never get a diff, such as labels
    no_diff_bottoms = ()

    def __init__(self, param, phase=0):
        self.param = param
        self.phase = phase
        self.blobs = []
        self.param_propagate_down = []

    @property
    def name(self):
        """The layer's name in its net."""
        return self.param.name

    @property
    def type(self):
        """The Caffe type name."""
        return self.param.type

    @property
    def device(self):
        """The torch.device to compute on."""
        return mode.device()

    def error(self, message):
        """Raise CaffeError with a message that names this layer."""
        raise CaffeError(f"layer '{self.name}' ({self.type}): {message}")

    def refuse_gradient(self, propagate_down, index, held):
        """CaffeError where backward wants a gradient of bottom `index`, which holds `held`, such as labels."""
        if propagate_down[index]:
            self.error(f'bottom {index} holds {held} and has no gradient, expected one that nothing learned produces')

    def check_counts(self, bottom, top):
        """Raise CaffeError unless the layer has as many bottoms and tops as its type takes."""
        for what, wanted, have in (('bottom', self.bottoms, len(bottom)), ('top', self.tops, len(top))):
            low, high = wanted if isinstance(wanted, tuple) else (wanted, wanted)
            if have < low or (high is not None and have > high):
                text = str(low) if low == high else f'{low} or more' if high is None else f'{low} to {high}'
                self.error(f'has {have} {what} blobs, expected {text}')

    def setup(self, bottom, top):
        """Check the parameters and create `blobs`; called once, before the first `reshape`."""

    def reshape(self, bottom, top):
        """Give the tops their shapes; called before every forward."""

    def forward(self, bottom, top):
        """Compute the tops from the bottoms."""
        raise NotImplementedError

    def backward(self, top, propagate_down, bottom):
        """Overwrite the diffs of the bottoms marked in `propagate_down`, add to the diffs of `blobs`."""

    def forget(self):
        """Drop what forward kept for backward."""
        for name in self.kept:
            setattr(self, name, None)

    def axis(self, index, blob, what='axis'):
        """`index` as a non-negative axis of `blob` (negative counts from the end); CaffeError when out of range."""
        axes = len(blob.shape)
        if not -axes <= index < axes:
            self.error(f'{what} {index} is out of range for a blob of shape {blob.shape}')
        return index % axes
