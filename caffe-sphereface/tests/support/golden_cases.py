"""The nets of the goldens, with their parameters and inputs, for tests of exports."""

import os
from pathlib import Path

import numpy as np
from repository import ROOT

import caffe

GOLDENS = Path(os.environ.get('SHARED', ROOT.parent / 'shared')) / 'goldens'
CASES = [
    path.with_suffix('') for path in sorted(GOLDENS.glob('layers/*.npz')) + sorted(GOLDENS.glob('fork-layers/*.npz'))
]
# beginnings of the names of losses and of what else only training has
TRAINING = (
    'accuracy',
    'contrastive',
    'euclidean',
    'hinge',
    'infogain',
    'interclass',
    'margin',
    'multinomial',
    'sigmoid_ce',
    'softmaxloss',
    'adacos',
    'center',
    'combined',
    'cosin_add_m',
    'focal',
    'ipnorm_arcface',
    'ipnorm_cosface',
    'lsoftmax',
    'lsadd_anneal',
    'lsmargin',
    'multibox',
    'smooth_l1',
    'triplet',
    # batch statistics
    'bn_segnet_learn',
    'bn_train',
    'bn_scale',
)


def golden_net(case):
    """The TEST net of a case with its parameters and the inputs of its first step."""
    golden = np.load(f'{case}.npz')
    net = caffe.Net(f'{case}.prototxt', caffe.TEST)
    for key in golden:
        kind, _, rest = key.partition('/')
        if kind == 'param':
            name, index = rest.rsplit('/', 1)
            net.params[name][int(index)].data[...] = golden[key]
        elif key.startswith('0/in/'):
            net.blobs[key[5:]].data[...] = golden[key]
    return net


def named(case):
    """The id of a test of a case."""
    return f'{case.parent.name}-{case.name}'
