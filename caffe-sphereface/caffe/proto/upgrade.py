"""Old forms of nets and solvers, brought to the present one as Caffe does when it loads them."""

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.upgrade_c3d import upgrade_c3d
from caffe.proto.upgrade_forks import upgrade_forks
from caffe.proto.upgrade_v0 import is_v0, upgrade_v0
from caffe.proto.upgrade_v1 import upgrade_v1

_SOLVER_TYPES = {
    caffe_pb2.SolverParameter.SGD: 'SGD',
    caffe_pb2.SolverParameter.NESTEROV: 'Nesterov',
    caffe_pb2.SolverParameter.ADAGRAD: 'AdaGrad',
    caffe_pb2.SolverParameter.RMSPROP: 'RMSProp',
    caffe_pb2.SolverParameter.ADADELTA: 'AdaDelta',
    caffe_pb2.SolverParameter.ADAM: 'Adam',
}


def upgrade_net(net: caffe_pb2.NetParameter, origin: str) -> caffe_pb2.NetParameter:
    """Upgrade a NetParameter (plain or raw) in place and return it; `origin` names it in errors."""
    try:
        return _upgrade(net, origin)
    except UnicodeDecodeError as error:
        raise CaffeError(f'{origin}: has text that is not UTF-8 ({error.object[:40]!r})') from None


def _upgrade(net: caffe_pb2.NetParameter, origin: str) -> caffe_pb2.NetParameter:
    if is_v0(net):
        upgrade_v0(net, origin)
    if net.layers:
        upgrade_v1(net, origin)
    if net.input:
        _upgrade_input(net, origin)
    if any(layer.type == 'Gather' for layer in net.layer):
        _split_gathers(net)
    for layer in net.layer:
        if layer.type == 'BatchNorm' and len(layer.param) == 3:
            _freeze(layer)
        if layer.type == 'BatchNorm' and net.bn_stats_batch_size:
            layer.batch_norm_param.stats_batch_size = net.bn_stats_batch_size
        upgrade_forks(layer)
        upgrade_c3d(layer)
    net.ClearField('bn_stats_batch_size')
    return net


def _upgrade_input(net: caffe_pb2.NetParameter, origin: str) -> None:
    """`input` with `input_shape`, or four (C3D: five) `input_dim` each, becomes an Input layer in front of the others.

    Of nets that have both `input_shape` counts, as for Caffe 1.0.
    """
    axes = 5 if len(net.input_dim) == 5 * len(net.input) else 4
    parts = [net.input_dim[i : i + axes] for i in range(0, len(net.input_dim), axes)]
    shapes = [shape.dim for shape in net.input_shape] or parts
    if shapes and (len(shapes) != len(net.input) or (not net.input_shape and len(net.input_dim) % axes)):
        raise CaffeError(
            f'{origin}: has {len(net.input)} inputs and {len(net.input_shape)} input_shape, '
            f'{len(net.input_dim)} input_dim; expected one input_shape or four input_dim per input'
        )
    old = type(net)()
    old.CopyFrom(net)
    for field in ('input', 'input_shape', 'input_dim', 'layer'):
        net.ClearField(field)
    if shapes:
        layer = net.layer.add(name='input', type='Input', top=old.input)
        for dims in shapes:
            layer.input_param.shape.add(dim=dims)
    net.layer.extend(old.layer)


def _split_gathers(net: caffe_pb2.NetParameter) -> None:
    """Gather becomes a Split for each bottom.

    In the Caffe that TSN trains with, it joins what several processes have computed. Here each goes on with its own,
    and gradients are exchanged alone. One that states a parameter is another fork's.
    """
    layers = list(net.layer)
    del net.layer[:]
    for layer in layers:
        own = any(field.name == 'gather_param' for field, _ in layer.ListFields())
        if layer.type != 'Gather' or own or len(layer.bottom) != len(layer.top):
            net.layer.append(layer)
            continue
        for i, (bottom, top) in enumerate(zip(layer.bottom, layer.top)):
            split = net.layer.add()
            split.CopyFrom(layer)
            split.type, split.bottom[:], split.top[:] = 'Split', [bottom], [top]
            split.name = f'{layer.name}_{i}' if i else layer.name


def _freeze(layer: caffe_pb2.LayerParameter) -> None:
    """The running statistics of BatchNorm are no weights: no solver may change them."""
    for spec in layer.param:
        spec.lr_mult = spec.decay_mult = 0


def upgrade_solver(solver: caffe_pb2.SolverParameter, origin: str) -> caffe_pb2.SolverParameter:
    """Upgrade a SolverParameter in place and return it: the enum `solver_type` becomes the text `type`."""
    if solver.HasField('solver_type'):
        if solver.HasField('type'):
            raise CaffeError(f'{origin}: has solver_type and type, expected one of them')
        solver.type = _SOLVER_TYPES[solver.solver_type]
        solver.ClearField('solver_type')
    return solver
