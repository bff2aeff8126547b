"""docs/environment.md names every variable that the two packages and the scripts read, and no other as read by them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (ROOT / 'caffe-sphereface' / 'caffe', ROOT / 'python' / 'sphereslim')
SCRIPTS = ('run_all.sh', 'run_tests.sh', 'tools/make_env.sh')
NAME = re.compile(r'[A-Z][A-Z0-9]{2,}(_[A-Za-z0-9]+)*_?')
# words in capitals beside the variables in files that read some
NO_VARIABLES = {'GLOG_', 'JSON', 'TEST'}


def in_python():
    """{variable: file} of the texts that look like a variable's name in every file that touches the environment."""
    found = {}
    for path in sorted(path for package in PACKAGES for path in package.rglob('*.py')):
        text = path.read_text()
        if not re.search(r'\benviron\b|\bgetenv\b', text):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                found[node.value] = path.name
    return {name: file for name, file in found.items() if name not in NO_VARIABLES}


def in_scripts():
    """{variable: script} of the variables in capitals that the shell scripts look at."""
    return {
        name: script
        for script in SCRIPTS
        for name in re.findall(r'\$\{?!?([A-Z]\w+)|(?<=fits )([A-Z]\w+)', (ROOT / script).read_text())
        for name in filter(None, name)
        if NAME.fullmatch(name)
    }


def on_page():
    """The names in the first column of the page's tables."""
    page = (ROOT / 'docs' / 'environment.md').read_text()
    return {name for row in re.findall(r'^\| (`[^|]*) \|', page, re.M) for name in re.findall(r'`(\w+)`', row)}


@pytest.mark.parametrize('read', [in_python, in_scripts])
def test_every_variable_that_is_read_stands_on_the_page(read):
    missing = {name: file for name, file in read().items() if name not in on_page()}
    assert not missing


def test_the_page_names_no_variable_that_nobody_reads():
    elsewhere = (ROOT / 'docs' / 'environment.md').read_text().partition('## Read by others')[2]
    unread = on_page() - in_python().keys() - in_scripts().keys() - set(re.findall(r'`(\w+)`', elsewhere))
    assert not unread
