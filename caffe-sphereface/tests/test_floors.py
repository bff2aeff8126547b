"""The rooms of the engine stand on floors: what is below knows nothing of what is above.

A room is a folder of `caffe/`, or a module that lies in `caffe/` itself. A module may import what belongs to its own
room or stands on a lower floor, inside of functions too; rooms of one floor do not know each other.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import caffe

FLOORS = {
    'errors': 0,  # what can go wrong, in one line
    'fork': 0,  # what lets a forked child compute on
    'process_state': 1,  # device, precision, random numbers, log and rank of the process
    'log': 2,  # lines in glog's form
    'layer_errors': 2,  # PyTorch's errors, told with file and layer
    'precision': 2,  # fp32, tf32, bf16
    'random': 2,  # the seed of a process
    'proto': 3,  # messages, their text and binary files, old forms and other Caffes'
    'device': 3,  # the CPU or a GPU
    'net_spec': 4,  # NetSpec, which writes prototxts
    'coord_map': 5,  # where a blob's pixels lie in another blob
    'blobs': 4,  # values, gradients and where they are kept
    'cuda_graphs': 5,  # work on blobs that a GPU replays
    'parallel': 5,  # several processes that train one net
    'data.prefetch': 5,  # batches made ahead of time
    'data': 6,  # databases, lists and pictures become batches
    'io': 7,  # caffe.io: pictures and arrays for deploy nets
    'layers.support': 7,  # what layers have in common
    'layers.*': 8,  # the families of layers
    'layers': 9,  # all layers, found by walking the families
    'net': 10,  # a net of layers, its weights, its forward and backward
    'solvers': 11,
    'draw': 11,
    'classifier': 11,
    'detector': 11,
    '_caffe': 12,  # pycaffe's names, gathered
    'pycaffe': 13,
    '': 14,  # `import caffe`
    'export': 15,  # ONNX, ncnn
    'cli': 16,  # the commands
    '__main__': 17,
}
MOST_MODULES = 15  # in one folder

FOLDER = Path(caffe.__file__).parent
MODULES = {
    '.'.join(path.relative_to(FOLDER).with_suffix('').parts).removesuffix('__init__').rstrip('.'): path
    for path in FOLDER.rglob('*.py')
}


def room_of(module):
    """The room of a module, both named without `caffe.` in front; folders that the table does not name lie in one."""
    folder = MODULES[module].parent.relative_to(FOLDER)
    folders = ['.'.join(f.parts) for f in (folder, *folder.parents)][:-1]  # from the inside out
    return next((f for f in folders if floor_of(f) is not None), folders[-1]) if folders else module


def floor_of(room):
    """A room's floor, None for one that the table does not name."""
    family = 'layers.*' if room.startswith('layers.') else None
    return FLOORS.get(room, FLOORS.get(family))


def imports_of(source, modules, for_types=True):
    """The engine's modules that a source text imports, wherever it does so; `from a import b` may mean a or a.b.

    Those that only a type checker sees (`if TYPE_CHECKING:`) count as well where `for_types` is true.
    """
    found, tree = set(), ast.parse(source)
    if not for_types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and _is_for_types(node.test))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f'line {node.lineno}: a relative import, expected one from caffe'
            wholes = [f'{node.module}.{alias.name}' for alias in node.names]
            names = [whole if _inside(whole) in modules else node.module for whole in wholes]
        else:
            continue
        found |= {_inside(name) for name in names} & modules.keys()
    return found


def _is_for_types(test):
    return isinstance(test, ast.Name) and test.id == 'TYPE_CHECKING'


def _inside(name):
    """A module's name without `caffe.` in front, '' for caffe itself, None for a module of another package."""
    return '' if name == 'caffe' else name.removeprefix('caffe.') if name.startswith('caffe.') else None


IMPORTS = {module: imports_of(path.read_text(), MODULES) - {module} for module, path in MODULES.items()}


def test_every_room_has_a_floor_and_every_floor_a_room():
    rooms = {room_of(module) for module in MODULES}
    assert not [room for room in sorted(rooms) if floor_of(room) is None]
    assert not [room for room in FLOORS if room not in rooms | {'layers.*'}]


@pytest.mark.parametrize('module', sorted(MODULES))
def test_a_module_imports_from_its_own_room_and_from_below(module):
    room = room_of(module)
    upward = [
        other for other in IMPORTS[module] if room_of(other) != room and floor_of(room_of(other)) >= floor_of(room)
    ]
    assert not upward, f'caffe.{module} (floor {floor_of(room)}) imports {sorted(upward)}'


def test_no_import_runs_in_a_circle():
    try:
        TopologicalSorter(
            {
                module: imports_of(path.read_text(), MODULES, for_types=False) - {module}
                for module, path in MODULES.items()
            }
        ).prepare()
    except CycleError as error:
        pytest.fail(' imports '.join(error.args[1]))


def test_no_folder_holds_more_modules_than_one_can_take_in():
    folders = {}
    for path in MODULES.values():
        if path.stem not in ('__init__', '__main__'):
            folders.setdefault(path.parent.relative_to(FOLDER), []).append(path.stem)
    assert not {str(folder): len(names) for folder, names in folders.items() if len(names) > MOST_MODULES}


def test_imports_are_found_inside_of_functions_and_in_every_form():
    source = 'import caffe\nimport numpy\ndef f():\n  from caffe import log\n  from caffe.log import info\n'
    source += '  import caffe.proto.wire as w\n  from caffe.io import load_image\n'
    assert imports_of(source, MODULES) == {'', 'log', 'proto.wire', 'io'}
    typed = f'{source}if TYPE_CHECKING:\n  from caffe.net.net import Net\n'
    assert imports_of(typed, MODULES) - imports_of(typed, MODULES, for_types=False) == {'net.net'}
