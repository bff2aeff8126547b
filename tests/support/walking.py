"""Pages walked as a reader would: every block in order, in one shell, in a fresh clone of the repository.

What is in the clone is made small (`SMALLER`, and the network of the default run at an eighth of its width), and what
only a reader has is stood in for: a Python that has the packages, a pip that installs nothing, and the words of
`STAND_INS`. The blocks come out of the pages, so a block that is new or changed is walked as it is written.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from repository import ROOT
from sphereslim.rewrite.scaled import scaled_folder

_FENCED = r'^```(?P<kind>\w*)\n(?P<fenced>.*?)^```$'
_INDENTED = r'(?:(?<=\n\n)|\A)(?P<indented>(?: {4}[^\n]*\n|\n(?= {4}))+)'
BLOCK = re.compile(f'{_FENCED}|{_INDENTED}', re.M | re.S)
# {file: {words in it: what is there in the clone}}
SMALLER = {
    'python/sphereslim/facedata/synthetic/dataset.py': {
        'people: int = 400': 'people: int = 6',
        'pictures: int = 6  #': 'pictures: int = 4  #',
        'test_people: int = 100': 'test_people: int = 6',
        'test_pictures: int = 6': 'test_pictures: int = 4',
        'folds: int = 10': 'folds: int = 2',
        'pairs: int = 150': 'pairs: int = 3',
    },
    'python/sphereslim/studies/settings/sphereface-4.small.json': {
        '["conv1_1", "conv2_1", "conv3_1", "conv4_1"]': '["conv1_1", "conv4_1"]',
        '"batch": 32': '"batch": 4',
        '"iterations": 420': '"iterations": 4',
        '"iterations": 80': '"iterations": 2',
        '"iterations": 150': '"iterations": 2',
        '"steps": [270, 360]': '"steps": [2, 3]',
        '"display": 10': '"display": 1',
        '"display": 5': '"display": 1',
    },
}
PACKAGES = ('caffe-sphereface', 'python')
SCRIPT = re.compile(r'^([\w-]+) = "([\w.]+):(\w+)"$', re.M)


def blocks(page):
    """(line number, kind of a fenced one or 'sh', text) of every block of a page, a path."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        line = text.count('\n', 0, found.start()) + 1
        if found['indented'] is None:
            yield line + 1, found['kind'], found['fenced']
        else:
            yield line, 'sh', re.sub('^ {4}', '', found['indented'], flags=re.M)


def replaced(text, words):
    """The text with every key of {old: new} replaced, and the keys that are in it."""
    used = {old for old in words if old in text}
    for old in used:
        text = text.replace(old, words[old])
    return text, used


def script(page, folder, stand_ins):
    """A shell script of the blocks of a page, and the keys of {words: stand-in} that it has used.

    A block of text is a file or what something prints, and is not run. The script notes the place of each block in
    `folder`/place before it runs it.
    """
    lines, used = [], set()
    for line, kind, text in blocks(page):
        text, found = replaced(text, stand_ins)
        used |= found
        lines.append(f'echo {page.name}:{line} > {folder}/place')
        if kind == 'python':
            file = folder / f'{line}.py'
            file.write_text(text)
            text = f'python {file}\n'
        elif kind == 'text':
            text = ''
        elif kind != 'sh':
            text = f'echo \'a block of kind "{kind}", expected sh, python, text or an indented one\' >&2; exit 1\n'
        lines.append(text)
    return '\n'.join(lines), used


def git(*words, folder=None):
    """What git prints."""
    return subprocess.run(['git', *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def small_repository(folder):
    """A repository `folder` that holds what this checkout does, changes that are not committed included, made small."""
    git('clone', '-q', str(ROOT), str(folder))
    for name in filter(None, git('ls-files', '-mdoz', '--exclude-standard', folder=ROOT).split('\0')):
        (folder / name).unlink(missing_ok=True)
        if os.path.lexists(ROOT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    for name, words in SMALLER.items():
        text, used = replaced((ROOT / name).read_text(), words)
        assert used == set(words), f'{name}: no longer holds {set(words) - used}'
        (folder / name).write_text(text)
    net = 'prototxt/sphereface-4'
    scaled_folder(ROOT / net, folder / net, 0.125)
    git('add', '-A', folder=folder)
    git('-c', 'user.name=tests', '-c', 'user.email=tests', 'commit', '-qm', 'Small', folder=folder)


def _write_program(path, text):
    path.write_text(f'#!/bin/sh\n{text}')
    path.chmod(0o755)


def write_environment(folder, command):
    """Write an environment as `python3 -m venv` and pip make it, of commands that start at once."""
    programs = folder / 'bin'
    programs.mkdir(parents=True)
    command(programs / 'python')
    for package in PACKAGES:
        text = (ROOT / package / 'pyproject.toml').read_text()
        for name, module, function in SCRIPT.findall(text):
            start = f'import sys; from {module} import {function}; sys.exit({function}())'
            _write_program(programs / name, f'exec "$(dirname "$0")/python" -c "{start}" "$@"\n')
    for name in ('caffe', 'sphereslim'):
        (programs / name).unlink()
        command(programs / name, '-m', name)
    _write_program(
        programs / 'pip', 'for word; do case $word in ./*) test -f "$word/pyproject.toml" || exit; esac; done\n'
    )
    (programs / 'activate').write_text('PATH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd):$PATH\n')


class Walk:
    """A reader's folder and shell. `source` is the repository that the reader clones."""

    def __init__(self, folder, source, command):
        self.folder, self.source = folder, source
        self.home = folder / 'home'
        self.home.mkdir(parents=True)
        environment, programs = folder / 'environment', folder / 'bin'
        write_environment(environment, command)
        programs.mkdir()
        _write_program(
            programs / 'python3',
            f'[ "$1 $2" = "-m venv" ] || exec {environment}/bin/python "$@"\n'
            f'for last; do :; done\ncp -r {environment} "$last"\n',
        )
        self.variables = {
            'PATH': f'{programs}:{os.environ["PATH"]}',
            'HOME': str(self.home),
            'PYTHONPATH': os.pathsep.join(str(source / package) for package in PACKAGES),
            'OMP_NUM_THREADS': '1',
            'GPU': '',
            'SOURCE': str(source),
        }

    def walk(self, page, stand_ins, start=''):
        """Run every block of a page after the shell script `start`; a message names the block that fails."""
        text, used = script(page, self.folder, stand_ins)
        assert used == set(stand_ins), f'{page}: no longer holds {set(stand_ins) - used}, which stand-ins are for'
        words = ['bash', '-c', f'set -e -o pipefail\n{start}\n{text}']
        done = subprocess.run(words, cwd=self.home, env=self.variables, capture_output=True, text=True)
        place = (self.folder / 'place').read_text().strip()
        assert done.returncode == 0, (
            f'{place}: this block fails. Where it needs the network, photographs or hours, give its words a stand-in '
            f'in {Path(__file__).name} or in the test.\n{done.stdout[-1500:]}{done.stderr[-1500:]}'
        )
        return done.stdout
