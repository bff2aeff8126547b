"""The rooms of the workflow stand on floors: what is below knows nothing of what is above.

A room is a folder of `sphereslim/`, or a module that lies in `sphereslim/` itself. A module may import from its own
floor and from those below, inside of functions too.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import sphereslim

FLOORS = {
    'errors': 1,  # the one exception
    'checkout': 1,  # files beside the code
    'engine': 1,  # which Caffe, loaded when it is first used
    'progress': 1,  # bars
    'knapsack': 1,  # the choice of least loss within a budget
    'files': 1,  # written whole or not at all
    'settings': 1,  # JSON whose names and values are checked
    'net': 2,  # nets and weights on paper
    'sampling': 2,  # numbers out of a running net
    'report': 2,  # tables, figures and pages of any run
    'layers': 2,  # layers in Python that prototxts name
    'channels': 3,  # which channels belong together, and cutting them
    'data': 3,  # pictures, lists, pairs, and how they become inputs
    'training': 3,  # a stage folder and its training
    'logs': 3,  # training logs read, joined, compared
    'targets': 3,  # what the programs and chips read that nets are made for
    'criteria': 4,  # which channels to keep
    'rewrite': 4,  # other layers in their place
    'evaluation': 4,  # how good and how fast a net is
    'facedata': 4,  # faces drawn, detected, aligned, listed
    'pruning': 5,  # one net made smaller
    'quantization': 5,  # weights in a few bits
    'int8': 5,  # a net in int8
    'compression': 6,  # one net from end to end
    'studies': 6,  # whole runs and their reports
    'api': 6,  # the functions of the front door
    '': 6,  # the front door
    'commands': 7,
    '__main__': 8,
}
MOST_MODULES = 15  # in one folder
ROOT = Path(sphereslim.__file__).parent
MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('__init__').rstrip('.'): path
    for path in ROOT.rglob('*.py')
}


def imports_of(source):
    """The library's modules that a source text imports, anywhere in it, named from `sphereslim` on."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = [f'{node.module}.{alias.name}' for alias in node.names]
            found |= {name if _inner(name) in MODULES else node.module for name in whole}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {_inner(name) for name in found if name.split('.')[0] == 'sphereslim'}


def _inner(name):
    return name.removeprefix('sphereslim').lstrip('.')


def floor_of(module):
    return FLOORS[module.split('.')[0]]


IMPORTS = {module: imports_of(path.read_text(encoding='utf-8')) for module, path in MODULES.items()}


def test_no_import_goes_upward():
    upward = [
        f'{module} imports {other}'
        for module, others in IMPORTS.items()
        for other in others
        if floor_of(other) > floor_of(module)
    ]
    assert not upward


def test_no_imports_run_in_a_circle():
    try:
        TopologicalSorter({module: others - {module} for module, others in IMPORTS.items()}).prepare()
    except CycleError as error:
        pytest.fail(' imports '.join(error.args[1]))


def test_no_folder_holds_more_modules_than_one_can_take_in():
    folders = {}
    for path in MODULES.values():
        if path.stem != '__init__':
            folders.setdefault(str(path.parent.relative_to(ROOT)), []).append(path.stem)
    assert not {folder: names for folder, names in folders.items() if len(names) > MOST_MODULES}


def test_imports_are_found_inside_of_functions():
    source = 'def f():\n    from sphereslim.net import text\n    import sphereslim.data.pairs\n    import os\n'
    assert imports_of(source) == {'net.text', 'data.pairs'}
