"""run_all.sh tells what is wrong before it makes anything, and hands the rest to the command of the source."""

import os
import shutil
import subprocess
import sys

import pytest
from repository import ROOT

NAMES = ('SCALE', 'GPU', 'RUNS', 'CROP', 'FACES', 'PAIRS', 'LISTS', 'TEACHER', 'DATA', 'OUT', 'CAFFE_ROOT')


@pytest.fixture
def tree(tmp_path):
    """A copy of the script where making an environment or faces, and running a command, writes a line into `calls`."""
    shutil.copy(ROOT / 'run_all.sh', tmp_path)
    (tmp_path / 'python').symlink_to(ROOT / 'python')
    for name in ('tools', 'bin', 'pictures'):
        (tmp_path / name).mkdir()
    (tmp_path / 'pictures' / 'train.txt').touch()
    (tmp_path / 'tools' / 'make_env.sh').write_text('echo environment >> calls; echo bin/python\n')
    write_program(
        tmp_path / 'bin' / 'python',
        f'[ "$1" = -c ] && exec {sys.executable} "$@"\n'
        '[ "$1" = -m ] && exec sh -c "${DEVICE_QUERY:-true}"\necho "$*" >> calls\n',
    )
    return tmp_path


def write_program(path, text):
    path.write_text(f'#!/bin/sh\n{text}')
    path.chmod(0o755)


def run_all(tree, *words, **more):
    """(the finished process, the lines of `calls`). No GPU is asked for; a variable that is None is not there."""
    environment = {
        name: value
        for name, value in ({**os.environ, **dict.fromkeys(NAMES), 'GPU': ''} | more).items()
        if value is not None
    }
    done = subprocess.run(['bash', 'run_all.sh', *words], cwd=tree, env=environment, text=True, capture_output=True)
    calls = tree / 'calls'
    return done, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize(
    'source, name, value, expected',
    [
        ('', 'SCALE', 'huge', 'SCALE=huge; expected small, faces or full'),
        ('flame', 'GPU', 'first', 'GPU=first; expected a number, several with commas, or all'),
        ('', 'GPU', '0,', 'GPU=0,; expected a number'),
        ('sphereface-plus', 'RUNS', '0', 'RUNS=0; expected a whole number of at least 1'),
        ('entropy', 'RUNS', '3', 'RUNS with entropy; expected it with sphereface-plus alone'),
        ('', 'CROP', 'right', 'CROP=right; expected centre or left'),
        ('', 'FACES', 'none', 'FACES=none: not there; expected a folder'),
        ('', 'FACES', 'pictures', 'PAIRS=: not there; expected pairs.txt'),
        ('flame', 'FACES', 'python', 'LISTS=: no train.txt in it'),
        ('', 'PAIRS', 'pairs.txt', 'PAIRS or LISTS without FACES'),
        ('', 'SCALE', 'faces', 'SCALE=faces without FACES; expected FACES=<folder>'),
        ('', 'TEACHER', 'net', 'TEACHER without FACES; expected FACES=<folder>'),
        ('', 'CAFFE_ROOT', 'none', 'CAFFE_ROOT=none: not there; expected the root of a built Caffe'),
        ('sphereface', 'GPU', '', "'sphereface' is no source; expected sphereface-prune"),
    ],
)
def test_a_wrong_variable_is_told_before_the_environment_is_made(tree, source, name, value, expected):
    done, calls = run_all(tree, *source.split(), **{name: value})
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith(f'error: {expected}') and not calls


@pytest.mark.parametrize(
    'words, expected',
    [
        ('--rats 0.5', 'unrecognized arguments: --rats 0.5'),
        ('entropy --seeds many', "--seeds: invalid int value: 'many'"),
    ],
)
def test_a_wrong_option_is_told_before_faces_are_made(tree, words, expected):
    done, calls = run_all(tree, *words.split())
    assert done.returncode == 2 and expected in done.stderr and calls == ['environment']


@pytest.mark.parametrize(
    'words, more, made, run',
    [
        (
            '',
            {},
            'make_faces.py --out data/faces',
            'prune_pipeline.py --settings python/settings/sphereface-4.small.json --faces data/faces '
            '--out work/sphereface-4',
        ),
        (
            '--rate 0.5',
            {'GPU': '0', 'OUT': 'here', 'DATA': 'there', 'SCALE': 'full'},
            'make_faces.py --out there',
            'prune_pipeline.py --settings python/settings/sphereface-4.full.json --faces there '
            '--out here --gpu 0 --rate 0.5',
        ),
        (
            'sphereface-plus',
            {'RUNS': '2', 'FACES': 'pictures', 'PAIRS': 'run_all.sh', 'CROP': 'left'},
            'prepare_faces.py pictures --pairs run_all.sh --crop left --out data/real',
            'sphereface_plus.py --settings python/settings/sphereface-plus.small.json --faces data/real '
            '--out work/sphereface-plus-real --runs 2',
        ),
        (
            'sphereface-prune',
            {
                'SCALE': 'faces',
                'FACES': 'pictures',
                'PAIRS': 'run_all.sh',
                'TEACHER': 'run_all.sh,pictures/train.txt,rgb',
                'CROP': 'left',
            },
            'prepare_faces.py pictures --pairs run_all.sh --crop left --teacher run_all.sh pictures/train.txt --rgb '
            '--border 4 --blends 2 --out data/real-faces',
            'sphereface_prune.py --settings python/settings/sphereface-prune.faces.json --faces data/real-faces '
            '--out work/sphereface-prune-faces',
        ),
        (
            'entropy',
            {},
            'make_faces.py --test-people 50 --per-fold 30 --out data/study-faces',
            'entropy.py --settings python/settings/entropy.small.json --faces data/study-faces --out work/entropy',
        ),
        ('flame', {}, None, 'flame.py --settings python/settings/flame.small.json --out work/flame'),
        (
            'flame',
            {'FACES': 'pictures', 'LISTS': 'pictures'},
            None,
            'flame.py --settings python/settings/flame.small.json --pictures pictures --lists pictures '
            '--out work/flame-real',
        ),
    ],
)
def test_what_is_right_reaches_the_command(tree, words, more, made, run):
    done, calls = run_all(tree, *words.split(), **more)
    assert done.returncode == 0, done.stderr
    assert calls == ['environment', *([f'preprocess/{made}'] if made else []), f'python/{run}']


def test_a_teacher_is_two_files_and_perhaps_rgb(tree):
    for teacher in ('none,run_all.sh', 'run_all.sh', 'run_all.sh,run_all.sh,bgr'):
        done, calls = run_all(tree, FACES='pictures', PAIRS='run_all.sh', TEACHER=teacher)
        assert done.returncode == 1 and done.stderr.startswith(f'error: TEACHER={teacher}; expected deploy.prototxt,')
        assert not calls


def test_a_gpu_that_pytorch_does_not_see_is_told_before_faces_are_made(tree):
    done, calls = run_all(tree, GPU='0', DEVICE_QUERY='echo no CUDA device >&2; false')
    assert done.returncode == 1 and done.stderr == 'no CUDA device\n' and calls == ['environment']


@pytest.mark.parametrize('query, gpu', [('true', ' --gpu 0'), ('echo no CUDA device >&2; false', '')])
def test_a_gpu_of_the_machine_is_taken_where_pytorch_sees_it(tree, query, gpu):
    write_program(tree / 'bin' / 'nvidia-smi', 'echo GPU 0\n')
    done, calls = run_all(tree, 'flame', GPU=None, DEVICE_QUERY=query, PATH=f'{tree / "bin"}:{os.environ["PATH"]}')
    assert done.returncode == 0 and not done.stderr
    assert calls[1] == f'python/flame.py --settings python/settings/flame.small.json --out work/flame{gpu}'
