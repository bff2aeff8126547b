"""The tests themselves: where they lie, and how they find what they import."""

import ast
from collections import Counter

import pytest
from repository import ROOT

TREES = {'tests': 'python/sphereslim', 'caffe-sphereface/tests': 'caffe-sphereface/caffe'}
# rooms of tests for what is not in a package
OTHER_ROOMS = {'tests': {'support', 'tools'}, 'caffe-sphereface/tests': {'support'}}


def files():
    return [path for tree in TREES for path in (ROOT / tree).rglob('*.py')]


@pytest.mark.parametrize('tree', TREES)
def test_the_rooms_of_the_tests_are_those_of_the_package(tree):
    folders = {path.parent.relative_to(ROOT / tree) for path in (ROOT / tree).rglob('test_*.py')}
    strangers = {str(folder) for folder in folders if not (ROOT / TREES[tree] / folder).is_dir()}
    assert strangers <= OTHER_ROOMS[tree]


def test_no_two_files_have_one_name():
    names = Counter(path.name for path in files() if 'standin' not in path.parts)
    assert not [name for name, count in names.items() if count > 1]


def edits_path(node):
    return (
        (isinstance(node, ast.Attribute) and ast.unparse(node) in ('sys.path.insert', 'sys.path.append'))
        or (isinstance(node, ast.Assign) and any('sys.path' in ast.unparse(target) for target in node.targets))
        or (isinstance(node, ast.Import) and 'runpy' in [name.name for name in node.names])
    )


def test_pytest_ini_alone_says_where_imports_are_found():
    assert not [path for path in files() if any(map(edits_path, ast.walk(ast.parse(path.read_text()))))]


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ''] if isinstance(node, ast.ImportFrom) else []


def test_no_test_file_imports_another():
    for path in files():
        names = [name for node in ast.walk(ast.parse(path.read_text())) for name in imported(node)]
        assert not [name for name in names if name.startswith('test_')], path
