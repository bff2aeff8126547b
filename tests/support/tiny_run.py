"""A network and faces so small that every command of the workflow runs on them within seconds."""

import json

import cv2
import numpy as np
from repository import ROOT

PEOPLE, PICTURES = 6, 3
_PARAMS = 'param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }'
_FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "constant" }'
_BODY = f"""
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" {_PARAMS}
  convolution_param {{ num_output: 8 pad: 1 kernel_size: 3 stride: 8 {_FILLERS} }} }}
layer {{ name: "relu1" type: "PReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2" {_PARAMS}
  convolution_param {{ num_output: 12 pad: 1 kernel_size: 3 stride: 2 {_FILLERS} }} }}
layer {{ name: "bn2" type: "BatchNorm" bottom: "conv2" top: "conv2" }}
layer {{ name: "scale2" type: "Scale" bottom: "conv2" top: "conv2" scale_param {{ bias_term: true }} }}
layer {{ name: "relu2" type: "PReLU" bottom: "conv2" top: "conv2" }}
layer {{ name: "fc5" type: "InnerProduct" bottom: "conv2" top: "fc5" {_PARAMS}
  inner_product_param {{ num_output: 16 {_FILLERS} }} }}
"""
_DEPLOY = (
    'name: "tiny" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 112 '
    'dim: 96 } } }' + _BODY
)
_TRAIN = (
    """name: "tiny"
layer { name: "data" type: "ImageData" top: "data" top: "label"
  transform_param { scale: 0.0078125 mirror: true mean_value: 127.5 mean_value: 127.5 mean_value: 127.5 }
  image_data_param { source: "LIST" root_folder: "ROOT/" batch_size: 4 shuffle: true } }
"""
    + _BODY
    + """
layer { name: "fc6" type: "MarginInnerProduct" bottom: "fc5" bottom: "label" top: "fc6" top: "lambda"
  margin_inner_product_param { num_output: 6 type: QUADRUPLE weight_filler { type: "xavier" }
    base: 1000 gamma: 0.12 power: 1 lambda_min: 5 iteration: 0 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc6" bottom: "label" top: "loss" }
"""
)
_SOLVER = """net: "TRAIN" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 max_iter: 3 display: 1
snapshot_prefix: "PREFIX" solver_mode: CPU
"""


def write_run(folder):
    """Write net/ (train, deploy, solver), faces/ (aligned, train.txt, pairs.txt) and the settings of the pipelines into
    `folder`."""
    net, faces = folder / 'net', folder / 'faces'
    net.mkdir(parents=True)
    _write_faces(faces)
    train = _TRAIN.replace('LIST', str(faces / 'train.txt')).replace('ROOT', str(faces / 'aligned'))
    (net / 'train.prototxt').write_text(train)
    (net / 'deploy.prototxt').write_text(_DEPLOY)
    (net / 'solver.prototxt').write_text(
        _SOLVER.replace('TRAIN', str(net / 'train.prototxt')).replace('PREFIX', str(folder / 'snapshot'))
    )
    training = {'iterations': 3, 'base_lr': 0.01, 'batch': 4, 'display': 1}
    settings = {
        'net': str(net),
        'layers': ['conv1', 'conv2'],
        'rate': 0.5,
        'criterion': 'greedy_pair',
        'batches': 1,
        'seed': 1,
        'base': training,
        'fine_tune': training,
        'last_round': training,
    }
    (folder / 'settings.json').write_text(json.dumps(settings))
    plus = {
        'net': str(net),
        'heads': str(ROOT / 'prototxt' / 'sfplus'),
        'runs': 1,
        'compared': ['m4'],
        'base': training,
        'margins': {'m4': {'alpha': 0.5, **training, 'snapshot': 1}},
    }
    (folder / 'plus.json').write_text(json.dumps(plus))
    goal = {'title': '20,000 bytes', 'page': 'page.md'}
    goals = {'sets': {'faces': 'pairs'}, 'runs': {'small': {'bytes': '20000', 'goals': {'in fewer bits': goal}}}}
    (folder / 'goals.json').write_text(json.dumps(goals))


def _write_faces(faces):
    rng = np.random.default_rng(0)
    names = [f'P_{person}' for person in range(2 * PEOPLE)]
    for name in names:
        (faces / 'aligned' / name).mkdir(parents=True)
        for number in range(1, PICTURES + 1):
            noise = rng.integers(0, 256, (14, 12, 3), dtype=np.uint8)
            cv2.imwrite(str(faces / 'aligned' / name / f'{name}_{number:04d}.jpg'), cv2.resize(noise, (96, 112)))
    lines = [
        f'{name}/{name}_{number:04d}.jpg {label}'
        for label, name in enumerate(names[:PEOPLE])
        for number in range(1, PICTURES + 1)
    ]
    (faces / 'train.txt').write_text('\n'.join(lines) + '\n')
    (faces / 'pairs.txt').write_text('\n'.join(['2\t3', *_pairs(names[PEOPLE:])]) + '\n')


def _pairs(names):
    """Two folds of three matched and three mismatched pairs each, of different people."""
    for half in (names[:3], names[3:]):
        yield from (f'{name}\t1\t2' for name in half)
        yield from (f'{one}\t1\t{other}\t3' for one, other in zip(half, half[1:] + half[:1]))
