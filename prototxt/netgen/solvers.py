"""The solvers that go with the networks; `net` is relative to the project's root, as `caffe train` reads it."""

from sphereslim.engine import caffe_pb2

COMMON = {'momentum': 0.9, 'weight_decay': 0.0005}


def solver(folder, net='train', **settings):
    """A SolverParameter for prototxt/<folder>/<net>.prototxt with snapshots named after the folder."""
    prefix = folder.replace('/', '-')
    return caffe_pb2.SolverParameter(net=f'prototxt/{folder}/{net}.prototxt', snapshot_prefix=prefix, **settings)


def multistep(folder, steps, max_iter, base_lr=0.1, gamma=0.1, display=100, snapshot=4000, **settings):
    """SGD with the rate multiplied by `gamma` at each of `steps`."""
    schedule = {'base_lr': base_lr, 'lr_policy': 'multistep', 'gamma': gamma, 'stepvalue': steps, 'max_iter': max_iter}
    return solver(folder, display=display, snapshot=snapshot, **schedule, **COMMON, **settings)


def sphereface(folder):
    """The published schedule of SphereFace on CASIA-WebFace."""
    return multistep(folder, [16000, 24000, 28000], 28000)


def adam(folder):
    """Adam at 1e-5 as in the 1.13 MB model; its length is our choice."""
    return solver(folder, type='Adam', base_lr=1e-5, lr_policy='fixed', momentum=0.9, momentum2=0.999,
                  max_iter=200000, display=100, snapshot=10000)  # fmt: skip
