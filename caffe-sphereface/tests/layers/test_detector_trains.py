"""A small SSD is trained and tested by the commands, from pictures and boxes in files to its mean average precision."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from repository import SHARED

import caffe
from caffe.cli import convert_imageset, main
from ssd_head import ssd_head

ORL = sorted((SHARED / 'data' / 'orl').rglob('*.pgm'))
TRANSFORM = """scale: 0.0078125 mean_value: 128
  resize_param { height: 48 width: 48 interp_mode: LINEAR interp_mode: AREA }
  emit_constraint { emit_type: CENTER }"""
AUGMENT = """mirror: true expand_param { prob: 0.3 max_expand_ratio: 1.3 }
  distort_param { brightness_prob: 0.5 brightness_delta: 16 contrast_prob: 0.5 contrast_lower: 0.8 contrast_upper: 1.2
                  saturation_prob: 0.5 saturation_lower: 0.8 saturation_upper: 1.2 hue_prob: 0.5 hue_delta: 4 }"""
SAMPLERS = """batch_sampler { max_sample: 1 max_trials: 1 } batch_sampler { sampler { min_scale: 0.7 max_scale: 1
  min_aspect_ratio: 0.9 max_aspect_ratio: 1.1 } sample_constraint { min_jaccard_overlap: 0.1 } max_sample: 1
  max_trials: 20 }"""
NET = f"""
layer {{ name: "data" type: "AnnotatedData" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ {TRANSFORM} {AUGMENT} }} annotated_data_param {{ {SAMPLERS} }}
  data_param {{ source: "train_lmdb" batch_size: 16 backend: LMDB }} }}
layer {{ name: "data" type: "AnnotatedData" top: "data" top: "label" include {{ phase: TEST }}
  transform_param {{ {TRANSFORM} }} annotated_data_param {{ batch_sampler {{ }} label_map_file: "labels.prototxt" }}
  data_param {{ source: "test_lmdb" batch_size: 8 backend: LMDB }} }}
"""
BODY = """
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
        convolution_param { num_output: 12 kernel_size: 5 stride: 2 pad: 2 weight_filler { type: "msra" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2"
        convolution_param { num_output: 24 kernel_size: 5 stride: 2 pad: 2 weight_filler { type: "msra" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "c3" type: "Convolution" bottom: "c2" top: "c3"
        convolution_param { num_output: 32 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "msra" } } }
layer { name: "r3" type: "ReLU" bottom: "c3" top: "c3" }
"""
EVALUATION = """
layer { name: "eval" type: "DetectionEvaluate" bottom: "found" bottom: "label" top: "eval" include { phase: TEST }
        detection_evaluate_param { num_classes: CLASSES overlap_threshold: 0.5 } }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.004 lr_policy: "step" stepsize: 80 gamma: 0.3 type: "Adam" momentum: 0.9
momentum2: 0.999 random_seed: 3 max_iter: 100 test_interval: 100 test_iter: 5 test_initialization: false
eval_type: "detection" ap_version: "11point" snapshot_prefix: "s" display: 100"""
OBJECT = (
    '<object><name>{0}</name><difficult>0</difficult><bndbox><xmin>{1}</xmin><ymin>{2}</ymin><xmax>{3}</xmax>'
    '<ymax>{4}</ymax></bndbox></object>'
)


def shapes(random):
    """A picture of one or two objects, red discs and blue squares, and their [(name, xmin, ymin, xmax, ymax)]."""
    picture, objects = random.normal(110, 12, (60, 72, 3)), []
    for column in random.permutation(2)[: random.integers(1, 3)]:
        radius = int(random.integers(9, 13))
        x, y = int(random.integers(12, 24)) + 36 * int(column), int(random.integers(12, 48))
        kind = ('disc', 'square')[random.integers(2)]
        if kind == 'disc':
            cv2.circle(picture, (x, y), radius, (40, 40, 230), -1)
        else:
            cv2.rectangle(picture, (x - radius, y - radius), (x + radius, y + radius), (230, 60, 40), -1)
        objects.append((kind, x - radius, y - radius, x + radius, y + radius))
    return picture, objects


def faces(random):
    """One or two faces before cloudy bars, and their [(name, xmin, ymin, xmax, ymax)]."""
    picture, objects = cv2.resize(random.normal(120, 50, (6, 8)), (72, 60), interpolation=cv2.INTER_CUBIC), []
    for x, y in random.integers(0, 60, (3, 2)):
        cv2.line(picture, (int(x), 0), (int(y), 59), float(random.integers(40, 200)), 3)
    for column in random.permutation(2)[: random.integers(1, 3)]:
        face = cv2.imread(str(random.choice(ORL)), cv2.IMREAD_GRAYSCALE)
        height = int(random.integers(25, 33))
        face = cv2.resize(face, (height * 92 // 112, height), interpolation=cv2.INTER_AREA)
        x, y = int(random.integers(0, 9)) + 36 * int(column), int(random.integers(0, 60 - height))
        picture[y : y + height, x : x + face.shape[1]] = face
        objects.append(('face', x, y, x + face.shape[1], y + height))
    return np.repeat(picture[..., None], 3, 2), objects


def make_set(name, count, scene, random):
    """The database `name`_lmdb of pictures that `scene` draws, with boxes in Pascal VOC's XML."""
    for path in (f'{name}{i}' for i in range(count)):
        picture, objects = scene(random)
        cv2.imwrite(f'{path}.png', picture.clip(0, 255))
        Path(f'{path}.xml').write_text(f'<annotation>{"".join(OBJECT.format(*one) for one in objects)}</annotation>')
    Path(f'{name}.txt').write_text(''.join(f'{name}{i}.png {name}{i}.xml\n' for i in range(count)))
    line = f'--encoded --label_map_file=labels.prototxt ./ {name}.txt {name}_lmdb'
    assert convert_imageset.annoset(line.split()) == 0


def trained_precision(scene, names, capfd):
    """The mean average precision that `caffe train` logs at the end of a training on scenes of named objects."""
    items = [f'item {{ name: "{name}" label: {label} }}' for label, name in enumerate(['none', *names])]
    Path('labels.prototxt').write_text('\n'.join(items))
    head = ssd_head('c3', classes=len(items), side=16, most=20)
    evaluation = EVALUATION.replace('CLASSES', str(len(items)))
    Path('net.prototxt').write_text(NET + BODY + head + evaluation)
    Path('solver.prototxt').write_text(SOLVER)
    random = np.random.default_rng(0)
    make_set('train', 120, scene, random)
    make_set('test', 40, scene, random)
    assert main.main(['train', '-solver', 'solver.prototxt']) == 0
    logged = capfd.readouterr().err
    return float(re.search(r'Test net output #0: eval = ([\d.]+)', logged).group(1))


@pytest.fixture(autouse=True)
def logging(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(caffe.process_state.state.log, 'level', 0)  # whatever GLOG_minloglevel hides


def test_a_detector_trains_from_a_database_and_its_mean_average_precision_is_logged(capfd):
    assert trained_precision(shapes, ['disc', 'square'], capfd) > 0.8


@pytest.mark.skipif(not ORL, reason=f'no faces in {SHARED}/data/orl')
def test_a_detector_learns_to_find_faces_in_a_database_of_scenes(capfd):
    assert trained_precision(faces, ['face'], capfd) > 0.6
