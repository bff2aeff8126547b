"""SphereFace+: SphereFace-20 with the inter-class term beside the A-Softmax loss, for margins 1 to 4."""

from netgen.solvers import multistep
from netgen.sphereface import BODIES, a_softmax, inter_class, train_net

# as published, for two GPUs: lambda's gamma and first count, the term's alpha, the solver's settings
RUNS = {
    1: {'gamma': 0.12, 'iteration': 0, 'alpha': 5.3},
    2: {'gamma': 0.11, 'iteration': 0, 'alpha': 6},
    3: {'gamma': 0.11, 'iteration': 0, 'alpha': 2.3},
    4: {'gamma': 0.12, 'iteration': 2000, 'alpha': 10},
}
SCHEDULES = {
    1: {'base_lr': 0.05, 'gamma': 0.2, 'steps': [7000, 11000], 'max_iter': 11000, 'display': 20},
    2: {'base_lr': 0.1, 'gamma': 0.1, 'steps': [5000], 'max_iter': 8000, 'display': 50},
    3: {'base_lr': 0.1, 'gamma': 0.1, 'steps': [4000, 9000], 'max_iter': 12000, 'display': 20},
    4: {'base_lr': 0.01, 'gamma': 0.1, 'steps': [4000, 6000], 'max_iter': 8000, 'display': 10},
}


def train(margin, forwards=1):
    """The train net; with `forwards` forward passes an iteration, lambda's counter runs that many times as fast.

    lambda = base / (1 + gamma * counter): gamma divided and the counter's start multiplied by `forwards` give the
    published lambda at the end of every iteration.
    """
    run = RUNS[margin]
    head = [a_softmax(margin, run['gamma'] / forwards, run['iteration'] * forwards), inter_class(run['alpha'])]
    return train_net(BODIES['sphereface-20'], head)


def solver_for(margin, forwards=1):
    """The published solver; with `forwards` > 1 for one GPU that accumulates as many batches."""
    one_gpu = {'net': 'train_one_gpu', 'iter_size': forwards} if forwards > 1 else {}
    return multistep(f'sfplus/m{margin}', snapshot=500, **SCHEDULES[margin], **one_gpu)
