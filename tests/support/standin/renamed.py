"""Import the project's `caffe` package under another name, so that a stand-in can have the name `caffe`.

Absolute imports inside the package are rewritten on the way, so nothing of it is ever found as `caffe…`.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[3] / 'caffe-sphereface' / 'caffe'


def load(name):
    """The engine as the package `name`."""
    sys.meta_path.insert(0, _Finder(name))
    return importlib.import_module(name)


def hide_modules(package, allowed):
    """Let no other module of `package` be found than those that are allowed."""
    sys.meta_path.insert(0, _Hidden(package, allowed))


class _Hidden(importlib.abc.MetaPathFinder):
    def __init__(self, package, allowed):
        self.package, self.allowed = package, allowed

    def find_spec(self, fullname, path=None, target=None):
        if fullname.startswith(f'{self.package}.') and fullname not in self.allowed:
            raise ModuleNotFoundError(f'pycaffe promises no module {fullname}', name=fullname)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name):
        self.name = name

    def find_spec(self, fullname, path=None, target=None):
        top, _, rest = fullname.partition('.')
        if top != self.name:
            return None
        place = PACKAGE.joinpath(*rest.split('.')) if rest else PACKAGE
        package = place.is_dir()
        file = place / '__init__.py' if package else place.with_suffix('.py')
        if not file.is_file():
            return None
        loader = _Loader(fullname, str(file), self.name)
        return importlib.util.spec_from_file_location(
            fullname, file, loader=loader, submodule_search_locations=[str(place)] if package else None
        )


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname, path, name):
        super().__init__(fullname, path)
        self.top = name

    def get_code(self, fullname):
        # from the source every time: the cached bytecode beside it is that of the package under its own name
        path = self.get_filename(fullname)
        tree = _Rename(self.top).visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, 'exec', dont_inherit=True)


class _Rename(ast.NodeTransformer):
    def __init__(self, name):
        self.name = name

    def visit_ImportFrom(self, node):
        if not node.level:
            node.module = self._renamed(node.module)
        return node

    def visit_Import(self, node):
        for alias in node.names:
            if alias.name == 'caffe' or alias.name.startswith('caffe.'):
                assert alias.asname or alias.name == 'caffe', f'import {alias.name} without a name of its own'
                alias.asname = alias.asname or 'caffe'
                alias.name = self._renamed(alias.name)
        return node

    def _renamed(self, module):
        top, dot, rest = module.partition('.')
        return f'{self.name}{dot}{rest}' if top == 'caffe' else module
