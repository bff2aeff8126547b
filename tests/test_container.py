"""What the image is made from: the build context stays small, and the environment in it is found, not made again."""

import fnmatch
import re
import shutil
import subprocess

import pytest
from repository import ROOT

DOCKERFILE = (ROOT / 'Dockerfile.cuda').read_text()
PROJECTS = ('caffe-sphereface/pyproject.toml', 'python/pyproject.toml')
STAMPED = ('requirements.txt', 'requirements-test.txt', 'constraints.txt')


def left_out(path):
    """Whether .dockerignore leaves out a path (no exceptions are in use, `**/` stands for any depth)."""
    parts = path.split('/')
    above = ['/'.join(parts[: n + 1]) for n in range(len(parts))]
    for line in (ROOT / '.dockerignore').read_text().splitlines():
        if line and not line.startswith('#'):
            pattern = line.strip('/')
            names = parts if pattern.startswith('**/') else above
            if any(fnmatch.fnmatchcase(name, pattern.removeprefix('**/')) for name in names):
                return True
    return False


@pytest.mark.parametrize(
    'path',
    [
        'work/run/report.html',
        'data/faces/train.txt',
        '.venv/bin/python',
        '.venv-test/x',
        '.git/HEAD',
        'caffe-sphereface/caffe_sphereface.egg-info/PKG-INFO',
        'python/__pycache__/a.pyc',
        'tests/.hypothesis/x',
    ],
)
def test_the_context_leaves_out_results_and_leftovers(path):
    assert left_out(path)


@pytest.mark.parametrize(
    'path',
    [
        'run_all.sh',
        'run_tests.sh',
        *STAMPED,
        'tools/make_env.sh',
        'published/flame.json',
        *PROJECTS,
        'caffe-sphereface/caffe/data/db.py',
        'python/sphereslim/facedata/synthetic/dataset.py',
        'tests/test_container.py',
    ],
)
def test_the_context_holds_what_the_commands_need(path):
    assert (ROOT / path).exists() and not left_out(path)


def test_the_image_runs_as_a_user_and_pins_through_the_one_script():
    last = DOCKERFILE.split('\nFROM ')[-1]
    assert re.search(r'^USER (?!0|root)', last, re.M) and 'make_env.sh' not in re.sub('#.*', '', last)
    assert re.search(r'^ARG BASE_IMAGE=\S+', DOCKERFILE, re.M) and 'bash tools/make_env.sh' in DOCKERFILE
    copied = ' '.join(re.findall(r'^COPY (.*)$', DOCKERFILE, re.M))
    assert all(name in copied for name in (*STAMPED, *PROJECTS))


@pytest.fixture
def tree(tmp_path):
    """A copy of what make_env.sh looks at, with the environment of an image: made elsewhere, not to be written."""
    for name in (*STAMPED, *PROJECTS, 'tools/make_env.sh'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make_env(tree, **more):
    return subprocess.run(
        ['bash', 'tools/make_env.sh'],
        cwd=tree,
        capture_output=True,
        text=True,
        env={
            'PATH': '/usr/bin:/bin',
            'VENV': 'image',
            'REQUIREMENTS': 'requirements-test.txt',
            'PYTHON': '/bin/false',
            **more,
        },
    )


def stamp(tree):
    content = b''.join((tree / name).read_bytes() for name in ('requirements-test.txt', 'constraints.txt', *PROJECTS))
    return subprocess.run(['cksum'], input=content, capture_output=True).stdout + b'/bin/false\n'


def test_an_environment_with_the_right_stamp_is_taken_as_it_is(tree):
    (tree / 'image').mkdir()
    (tree / 'image' / '.made-from').write_bytes(stamp(tree))
    done = make_env(tree)
    assert (done.returncode, done.stdout) == (0, 'image/bin/python\n')


@pytest.mark.parametrize('python, made', [('', True), ('/bin/false', True), ('/bin/true', False)])
def test_an_environment_is_of_the_python_that_is_asked_for(tree, python, made):
    (tree / 'image').mkdir()
    (tree / 'image' / '.made-from').write_bytes(stamp(tree))
    done = make_env(tree, PYTHON=python)
    assert ('making the environment' not in done.stderr) == made


def test_an_environment_of_other_versions_is_made_anew(tree):
    (tree / 'image').mkdir()
    (tree / 'image' / '.made-from').write_bytes(stamp(tree))
    with open(tree / 'constraints.txt', 'a') as file:
        file.write('pip==1.0\n')
    done = make_env(tree)
    assert done.returncode and 'making the environment in image' in done.stderr


def test_one_that_cannot_be_written_is_told(tree):
    (tree / 'image').mkdir()
    (tree / 'image').chmod(0o555)
    words = ['bash', 'tools/make_env.sh']
    if (tree / 'image').stat().st_uid == 0:  # root may write anywhere: only another user meets this
        if not shutil.which('setpriv'):
            pytest.skip('no setpriv to be another user with')
        for folder in (tree, *tree.parents):
            if str(folder).startswith('/tmp/'):
                folder.chmod(0o755)
        words = ['setpriv', '--reuid=1000', '--clear-groups', *words]
    done = subprocess.run(
        words,
        cwd=tree,
        capture_output=True,
        text=True,
        env={'PATH': '/usr/bin:/bin', 'VENV': 'image', 'PYTHON': '/bin/false'},
    )
    assert done.returncode == 1 and re.fullmatch(r'error: image .*make the image again.*\n', done.stderr)
