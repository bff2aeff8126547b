"""The workflow on a Caffe that is not the project's own: only what every pycaffe offers is used."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from repository import ROOT
from sphereslim.engine import caffe_pb2
from sphereslim.net.engine_check import solver_type
from tiny_run import write_run

STANDIN = ROOT / 'tests' / 'support' / 'standin'
SETTINGS = ROOT / 'python' / 'settings'
# What each command is run with. {base} and {final} are the first and the last stage of the pipeline's run before it.
COMMANDS = [
    ('python/prune_pipeline.py', '--settings settings.json --faces faces --out run'),
    ('python/quantize.py', 'quantize {base}/final.caffemodel --out q --deploy {base}/deploy.prototxt'),
    ('python/quantize.py', 'inspect q'),
    ('python/quantize.py', 'dequantize q --out d.caffemodel --deploy {base}/deploy.prototxt'),
    (
        'python/quantize.py',
        'sweep {base}/final.caffemodel --out sweep --deploy {base}/deploy.prototxt --images faces/aligned '
        '--count 4 --bits 4,6',
    ),
    (
        'python/quantize.py',
        'allocate {base}/final.caffemodel --out a --deploy {base}/deploy.prototxt --images faces/aligned '
        '--count 4 --bits 4,6 --budget 20000',
    ),
    ('python/binarize.py', '--solver net/solver.prototxt --weights {base}/final.caffemodel --out binary'),
    (
        'python/evaluate_lfw.py',
        '{final}/deploy.prototxt {final}/final.caffemodel --pairs '
        'faces/pairs.txt --pictures faces/aligned --cache features',
    ),
    ('python/substitute.py', 'net/train.prototxt net/deploy.prototxt --module dwpw --out substituted'),
    (
        'python/distill.py',
        '--student net/train.prototxt --teacher net/deploy.prototxt --teacher-weights '
        '{base}/final.caffemodel --embedding fc5 --shape 1,3,112,96 '
        '--out distilled',
    ),
    ('python/fold.py', '{base}/deploy.prototxt {base}/final.caffemodel --out folded'),
    (
        'python/compress.py',
        '{base}/deploy.prototxt {base}/final.caffemodel --images faces/aligned --count 6 --judge-count 6 '
        '--test-count 4 --macs 80% --bytes 20000 --out slim',
    ),
    (
        'python/goals.py',
        '{base}/deploy.prototxt {base}/final.caffemodel --images faces/aligned --count 6 --judge-count 6 '
        '--test-count 4 --settings goals.json --pairs faces/pairs.txt --pictures faces/aligned --out goals',
    ),
    ('python/check.py', '{base}/deploy.prototxt {base}/final.caffemodel --for bvlc'),
    ('python/groups.py', '{base}/train.prototxt {base}/deploy.prototxt'),
    (
        'python/select_filters.py',
        '{base}/train.prototxt {base}/final.caffemodel --layers conv1 --rate 0.5 --batches 1 --out selection.json',
    ),
    (
        'python/prune.py',
        'selection.json --train {base}/train.prototxt --deploy {base}/deploy.prototxt --weights '
        '{base}/final.caffemodel --solver {base}/solver.prototxt --out pruned',
    ),
    ('python/finetune.py', 'pruned'),
    (
        'python/reconstruct.py',
        '{base}/deploy.prototxt {base}/final.caffemodel pruned/deploy.prototxt '
        'pruned/init.caffemodel --selection selection.json --images faces/aligned --count 4 '
        '--out refitted.caffemodel',
    ),
    (
        'python/recalibrate.py',
        'pruned/deploy.prototxt refitted.caffemodel --images faces/aligned --count 4 --out recalibrated.caffemodel',
    ),
    (
        'python/sensitivity.py',
        '{base}/deploy.prototxt {base}/final.caffemodel --images faces/aligned --count 4 '
        '--test-count 4 --rates 0.5 --out sensitivity',
    ),
    (
        'python/allocate.py',
        '{base}/deploy.prototxt {base}/final.caffemodel sensitivity/sensitivity.json --budget 80% '
        '--out allocation.json',
    ),
    (
        'python/shrink.py',
        '{base}/deploy.prototxt {base}/final.caffemodel --images faces/aligned --count 4 --judge-count 4 '
        '--test-count 2 --macs 80% --out shrunk',
    ),
    ('python/sphereface_plus.py', '--settings plus.json --faces faces --out plus'),
    ('python/report.py', 'run'),
    ('tools/model_stats.py', '{final}/deploy.prototxt --weights {final}/final.caffemodel'),
    ('tools/compare_logs.py', '{base}/train.log {final}/train.log'),
    ('tools/plot_log.py', '{base}/train.log --out log.png'),
]
# What the tests of these files run whole, they run on that pycaffe too.
ELSEWHERE = {
    'tests/studies/test_prune_studies.py': ['python/entropy.py', 'python/sphereface_prune.py', 'python/study.py'],
    'tests/studies/test_flame.py -k whole_run_writes': ['python/flame.py'],
    'tests/facedata/alignment/test_detection.py -k "conversion or disturb or lost"': ['preprocess/detect.py'],
}
ON_THE_OWN_CAFFE = {'python/calibrate.py'}  # it needs layers of int8
STAGES = {'base': 'run/00-base', 'final': 'run/03-last-round'}
# Runs one command after another in one process, which saves loading the engine for each.
DRIVER = """
import json, sys
from importlib import import_module
from sphereslim.commands.ending import run_command
from sphereslim.commands.program import find_command
for folder, name, *words in json.load(sys.stdin):
    sys.argv = [name, *words]
    print('$', *sys.argv, file=sys.stderr, flush=True)
    try:
        run_command(import_module(name).main if folder == 'tools' else lambda: find_command(name).run(words))
    except SystemExit as end:
        if end.code:
            print('status', end.code, file=sys.stderr)
            sys.exit(1)
"""


@pytest.fixture(scope='module')
def build(tmp_path_factory, quick_command):
    """A folder laid out as a build of Caffe, of the stand-in."""
    root = tmp_path_factory.mktemp('caffe')
    (root / 'python').symlink_to(STANDIN)
    command = root / 'build' / 'tools' / 'caffe'
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\necho "$@" >> {root}/calls\nexec {quick_command} "$@"\n')
    command.chmod(0o755)
    return root


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    write_run(folder)
    return folder


def python(words, build, folder, **more):
    environment = {**os.environ, 'CAFFE_ROOT': str(build), 'GLOG_minloglevel': '2', **more.pop('env', {})}
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, text=True, capture_output=True, **more
    )


def test_every_command_works_on_the_names_that_every_pycaffe_has(build, work):
    words = [
        [*command.removesuffix('.py').split('/'), *arguments.format(**STAGES).split()]
        for command, arguments in COMMANDS
    ]
    path = os.pathsep.join(sys.path)
    done = python(['-c', DRIVER], build, work, env={'PYTHONPATH': path}, input=json.dumps(words))
    assert done.returncode == 0, done.stderr[-3000:]
    calls = (build / 'calls').read_text().splitlines()
    assert sum(call.startswith('train --solver=') for call in calls) == 8
    # `compress` also asks for an ONNX file, and its report says where the build has no such command
    assert {call.split()[0] for call in calls} == {'train', 'time', 'export'}
    assert json.loads((work / 'run' / 'report.json').read_text())['rows']


@pytest.mark.parametrize('tests', ELSEWHERE)
def test_studies_and_detection_work_on_those_names_too(tests, build):
    done = python(['-m', 'pytest', '-q', '-p', 'no:cacheprovider', *shlex.split(tests)], build, ROOT)
    assert done.returncode == 0 and ' passed' in done.stdout, done.stdout[-3000:]


def test_no_command_is_left_out_above():
    run = {command for command, _ in COMMANDS}.union(*ELSEWHERE.values())
    left_out = {f'python/{path.name}' for path in ROOT.glob('python/*.py')} - run - ON_THE_OWN_CAFFE
    assert not left_out, f'nothing runs {left_out} on those names'


BEYOND = [
    'net.param',
    'net.phase',
    'net.blobs["data"].tensor',
    'caffe.CaffeError',
    'caffe.errors',
    'net.blobs["data"].shape == (1, 3, 112, 96)',
    'setattr(net.blobs["data"], "data", 1)',
    '__import__("caffe.errors")',
    'caffe.get_solver("net/solver.prototxt").updater',
]
# Prints what each of the lines on its input ends in.
ATTEMPTS = """
import sys
import caffe
net = caffe.Net('net/deploy.prototxt', caffe.TEST)
assert net.forward()['fc5'].shape == (1, 16)
for words in sys.stdin:
    try:
        print(eval(words))
    except Exception as error:
        print(type(error).__name__)
"""


def test_the_stand_in_offers_nothing_beyond_the_contract(build, work):
    done = python(['-c', ATTEMPTS], build, work, env={'PYTHONPATH': str(STANDIN)}, input='\n'.join(BEYOND))
    ends = dict(zip(BEYOND, done.stdout.splitlines(), strict=True))
    assert set(ends.values()) <= {'AttributeError', 'ModuleNotFoundError'}, (ends, done.stderr)


def test_only_the_engine_module_and_layers_that_the_own_caffe_loads_import_caffe():
    for folder in ('python', 'preprocess'):
        for path in (ROOT / folder).rglob('*.py'):
            if path.name != 'engine.py' and not path.with_suffix('.proto').exists():
                assert not [name for name in imported(path) if name.split('.')[0] == 'caffe'], path


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


@pytest.mark.parametrize(
    'command, arguments, without, expected',
    [
        (
            'prune_pipeline',
            '--settings settings.json --faces faces',
            'MarginInnerProduct,PReLU,SGD',
            ('MarginInnerProduct', "layer 'fc6'", 'PReLU', 'solver type SGD', 'net/train.prototxt'),
        ),
        (
            'sphereface_plus',
            '--settings plus.json --faces faces',
            'InterClass',
            ('InterClass', 'sfplus/m4/train.prototxt'),
        ),
        (
            'flame',
            '--faces none',
            'Python,Adam',
            (
                'layer type Python',
                "net 'vgg11bn', layer 'data_rotation'",
                'solver type Adam',
                'vgg11bn/solver.prototxt',
            ),
        ),
        ('flame', '--faces none', 'Reduction', ('layer type Reduction', "net 'flame', layer 'distill_loss'")),
        (
            'sphereface_prune',
            f'--settings {SETTINGS}/sphereface-prune.small.json --faces faces',
            'MarginInnerProduct',
            ('layer type MarginInnerProduct', 'prototxt/sphereface-4/train.prototxt'),
        ),
        (
            'entropy',
            f'--settings {SETTINGS}/entropy.small.json --faces faces',
            'Pooling',
            ('layer type Pooling', 'prototxt/vgg16/train.prototxt'),
        ),
        (
            'study',
            'net/deploy.prototxt none --pairs faces/pairs.txt --pictures faces/aligned --images faces/aligned',
            'Scale',
            ('layer type Scale', 'net/deploy.prototxt', "layer 'scale2'"),
        ),
    ],
)
def test_layers_and_solvers_that_a_build_lacks_are_named_before_anything_runs(
    build, work, command, arguments, without, expected
):
    words = [ROOT / f'python/{command}.py', *arguments.split(), '--out', 'none']
    done = python(words, build, work, env={'STANDIN_WITHOUT': without})
    assert done.returncode == 1 and not (work / 'none').exists()
    (line,) = done.stderr.splitlines()
    assert 'CAFFE_ROOT' in line and all(name in line for name in expected), line


@pytest.mark.parametrize(
    'parts, expected',
    [
        ([], 'no folder python/caffe'),
        (['python/caffe'], 'no command build/'),
        (['python/caffe', 'build/tools/caffe'], 'is not built: no _caffe.so in'),
    ],
)
def test_a_folder_that_is_no_build_is_told_in_one_line(tmp_path, work, parts, expected):
    for part in parts:
        (tmp_path / part).mkdir(parents=True)
    done = python([ROOT / 'tools/model_stats.py', 'net/deploy.prototxt'], tmp_path, work)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr and expected in done.stderr


@pytest.mark.parametrize(
    'fails, expected',
    [
        (
            "raise SystemError('initialization of _caffe raised unreported exception')",
            'was built with another NumPy than',
        ),
        (
            "sys.stderr.write('compiled using NumPy 1.x\\nTraceback\\n'); raise AttributeError('_ARRAY_API not found')",
            'opencv-python-headless==4.11.0.86 and scipy==1.13.1 into a constraints file',
        ),
        (
            "raise ImportError('libboost_python3.so: not there')",
            'cannot be imported by .*libboost_python3.so: not there',
        ),
    ],
)
def test_a_pycaffe_of_another_numpy_is_told_in_one_line(tmp_path, work, fails, expected):
    package = tmp_path / 'python' / 'caffe'
    (package / 'proto').mkdir(parents=True)
    (tmp_path / 'build' / 'tools' / 'caffe').mkdir(parents=True)
    (package / '_caffe.so').touch()
    (package / '__init__.py').write_text(f'import sys\n{fails}\n')
    done = python([ROOT / 'python/groups.py', 'net/deploy.prototxt'], tmp_path, work)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert re.search(f'^error: CAFFE_ROOT={tmp_path}: its pycaffe .*{expected}', done.stderr)


def test_the_solver_type_is_read_from_either_field():
    assert solver_type(caffe_pb2.SolverParameter()) == 'SGD'
    assert solver_type(caffe_pb2.SolverParameter(type='Adam')) == 'Adam'
    assert solver_type(caffe_pb2.SolverParameter(solver_type=caffe_pb2.SolverParameter.RMSPROP)) == 'RMSProp'
