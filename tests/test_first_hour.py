"""A reader's first hour: each page's every block, in order, in a fresh clone, with few faces and iterations."""

import re
import tempfile

import cv2
import numpy as np
import pytest
import torch
from quick_python import quick_python
from repository import ROOT, SHARED
from walking import PACKAGES, Walk, blocks, git, small_repository

import caffe

LOADED = ('caffe.cli.main', 'sphereslim.commands.program', 'sphereslim.api', 'matplotlib.pyplot', 'skimage.transform')
FEW_PAIRS = {'make-pairs work/aligned': 'make-pairs work/aligned --people 6 --folds 2 --per-fold 3'}
README = {
    '<this repository>': '"$SOURCE"',
    '<it>': 'faces',
    '=/faces/': '=data/faces/',
    'sphereslim detect photos --out': 'cp -r data/faces/raw photos; cp data/faces/landmarks.txt',
    'max_iter: 60': 'max_iter: 2',
    '_iter_60.': '_iter_2.',
    **FEW_PAIRS,
}

# a reader's photographs: rendered faces, whatever a camera called them
PHOTOS = """
git clone -q "$SOURCE" faces && cd faces && bash tools/make_env.sh
.venv/bin/sphereslim make-faces --out data/faces
for person in data/faces/raw/*; do
  mkdir -p photos/${person##*/}
  for picture in $person/*; do number=${picture##*_0}; cp $picture photos/${person##*/}/IMG_$number; done
done
"""
YOUR_OWN_FACES = {
    'sphereslim detect photos': f'sphereslim detect photos --mtcnn {SHARED}/data/mtcnn',
    'FACES=work/others PAIRS=work/other-pairs.txt': 'FACES=work/aligned PAIRS=work/pairs.txt',
    **FEW_PAIRS,
}
ENGINE = {
    ' [-weights a.caffemodel,b.caffemodel | -snapshot x.solverstate] [-gpu 0]': ' -weights a.caffemodel,b.caffemodel',
    '[-progress]': '-progress',
    '[-any_batch]': '-any_batch',
    'caffe train -solver solver.prototxt -gpu': ': caffe/tests/parallel tries several GPUs',
    'torchrun': ': torchrun',
    '-processes 4': '-processes 2',
    'pytest caffe-sphereface/tests': 'true',
    'pictures  ': 'np.zeros((1, 3, 8, 8))  ',
    'import caffe\n': 'import caffe, numpy as np\n',
}
LAYERS = """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "bn1" }
layer { name: "scale1" type: "Scale" bottom: "bn1" top: "scale1" scale_param { bias_term: true } }
layer { name: "prelu1" type: "PReLU" bottom: "scale1" top: "prelu1" }
layer { name: "FC" type: "InnerProduct" bottom: "prelu1" top: "FC" inner_product_param { num_output: 4 } }
"""
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }'
DATA = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 dim: 8 dim: 8 } shape { dim: 4 }
  data_filler { type: "gaussian" } data_filler { type: "constant" } } }
"""
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc6" bottom: "label" top: "loss" }'


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    if not (ROOT / '.git').exists():
        pytest.skip('needs a checkout of git')
    folder = tmp_path_factory.mktemp('source') / 'faces'
    small_repository(folder)
    return folder


@pytest.fixture(scope='module')
def reader(source):
    """A function (folder) -> Walk."""
    path = ':'.join(str(source / package) for package in PACKAGES)
    with tempfile.TemporaryDirectory() as folder, quick_python(folder, LOADED, path) as command:
        yield lambda folder: Walk(folder, source, command)


def test_every_block_of_the_readme_runs(reader, tmp_path):
    page = ROOT / 'README.md'
    walk = reader(tmp_path)
    printed = walk.walk(page, README)
    for title in ('before', 'pruned', 'refitted'):  # what the example in Python prints
        assert re.search(rf'^{title} \d+\.\d+$', printed, re.M)
    assert re.search(r'^by-hand/train.log .* loss +identical', printed, re.M)  # the stage by hand is the run's
    named = re.findall(r'`(work/[^`]+)`', page.read_text())
    assert named and not [path for path in named if not (walk.home / 'faces' / path).exists()]
    assert git('status', '--porcelain', folder=walk.home / 'faces') == '?? photos/\n', 'written beside data/ and work/'


@pytest.mark.skipif(not (SHARED / 'data/mtcnn').exists(), reason=f'needs the detector in {SHARED}/data/mtcnn')
def test_every_block_from_your_own_photos_to_a_pruned_net_runs(reader, tmp_path):
    walk = reader(tmp_path)
    printed = walk.walk(ROOT / 'docs/your-own-faces.md', YOUR_OWN_FACES, PHOTOS)
    assert re.search(r'photos.txt: a face in \d+ pictures', printed)
    for path in ('work/sphereface-4-real/report.html', 'work/others-pruned/report.html', 'work/faces.onnx'):
        assert (walk.home / 'faces' / path).stat().st_size


def write_engine_files(folder, page):
    """What the engine's page names: nets, a solver, weights, a PyTorch file and its names, a face and its box."""
    (table,) = (text for _, kind, text in blocks(page) if kind == 'text')
    net = DATA + LAYERS.replace('FC', 'fc6') + LOSS
    deploy = INPUT + LAYERS.replace('FC', 'fc5')
    solver = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 4 display: 1 snapshot_prefix: "s"'
    for name, text in {
        'net.prototxt': net,
        'deploy.prototxt': deploy,
        'solver.prototxt': solver,
        'names.txt': table,
        'labels.prototxt': 'item { name: "face" label: 1 }',
        'train.txt': 'face.png face.txt\n',
        'face.txt': '1 2 2 9 9\n',
    }.items():
        (folder / name).write_text(text)
    cv2.imwrite(str(folder / 'face.png'), np.zeros((12, 12, 3), np.uint8))
    trained, small = (caffe.Net(str(folder / f'{name}.prototxt'), caffe.TEST) for name in ('net', 'deploy'))
    for name in ('a', 'b', 'old'):
        trained.save(str(folder / f'{name}.caffemodel'))
    for name in ('weights', 'net'):
        small.save(str(folder / f'{name}.caffemodel'))
    shapes = {'features.0.weight': (2, 3, 3, 3), 'act.weight': (2,)}
    shapes |= dict.fromkeys(
        ['features.0.bias', *(f'features.1.{name}' for name in ('weight', 'bias', 'running_mean', 'running_var'))], (2,)
    )
    torch.save({name: torch.ones(shape) for name, shape in shapes.items()}, folder / 'state.pth')


def test_every_block_of_the_engines_page_runs(reader, tmp_path):
    page = ROOT / 'caffe-sphereface' / 'README.md'
    walk = reader(tmp_path)
    write_engine_files(walk.home, page)
    walk.walk(
        page, ENGINE, 'cp -r "$SOURCE" faces; mv *.* faces; cd faces; bash tools/make_env.sh; . .venv/bin/activate'
    )
    for name in ('net.onnx', 'new.prototxt', 's_iter_4.caffemodel'):
        assert (walk.home / 'faces' / name).stat().st_size


def test_a_block_that_fails_is_named_and_so_is_a_stand_in_that_nothing_needs(reader, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('Words\n\n    here=1\n\n    test $here = 1\n\nmore\n\n```sh\ntest $here = 2\n```\n')
    walk = reader(tmp_path / 'walk')
    with pytest.raises(AssertionError, match='page.md:10: this block fails. Where it needs the network'):
        walk.walk(page, {})
    with pytest.raises(AssertionError, match="no longer holds {'there'}"):
        walk.walk(page, {'here': 'x', 'there': 'y'})
    page.write_text('```text\nwhat it prints\n```\n\n```sql\nselect\n```\n')
    with pytest.raises(AssertionError, match='page.md:6: (?s:.*)a block of kind "sql", expected sh, python'):
        walk.walk(page, {})
