"""Layers of one's own: where their modules lie, and their fields, which join those of caffe.proto.

A module is named by an entry point of the group `caffe.layers` of an installed package, or lies in CAFFE_LAYERS, a list
of files and folders as in PATH. A prototxt cannot name one. The messages of its layers are in the file of its name
beside it that ends in .proto (`caffe.proto.fragment`). What is wrong with them is told when a net is read or built,
where whoever does so gets it as one line.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from types import ModuleType

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from caffe.errors import CaffeError, first_line
from caffe.proto.dialects.foreign_layers import add_foreign_layers
from caffe.proto.fragment import read_fragment

GROUP = 'caffe.layers'


@dataclass(frozen=True)
class OwnModule:
    """A module with layers: its file, and its name where an installed package has it ('' for a file by itself)."""

    path: Path
    name: str = ''


@dataclass
class OwnLayers:
    """What was found once for this process; `problem` is the first thing that is wrong."""

    modules: list[OwnModule] = field(default_factory=list)
    problem: CaffeError | None = None


found = OwnLayers()


def check() -> None:
    """CaffeError where a module of own layers, or its fields, cannot be used."""
    if found.problem:
        raise found.problem


def note(problem: CaffeError) -> None:
    """Keep what `check` raises; the first one counts."""
    found.problem = found.problem or problem


def load_fields(schema: ModuleType) -> None:
    """Put the parameters of other Caffes' layers into `schema`, which is caffe_pb2, and the fields of own layers."""
    fragments: list[Path] = []
    try:
        found.modules = [*_installed(), *_listed()]
        fragments = [module.path.with_suffix('.proto') for module in found.modules]
        _extend(schema, [path for path in fragments if path.exists()])
    except CaffeError as error:
        note(error)
        _extend(schema, [])


def _installed() -> Iterator[OwnModule]:
    """The modules that entry points name; nothing is imported, as packages may import caffe."""
    for point in metadata.entry_points(group=GROUP):
        top, *rest = point.module.split('.')
        spec = util.find_spec(top)
        if spec is None or not spec.origin:
            raise CaffeError(f"entry point '{point.name}' of {GROUP}: there is no module '{point.module}'")
        folder = Path(spec.origin).parent.joinpath(*rest[:-1])
        yield OwnModule(folder / f'{rest[-1]}.py' if rest else Path(spec.origin), point.module)


def _listed() -> Iterator[OwnModule]:
    for entry in filter(None, os.environ.get('CAFFE_LAYERS', '').split(os.pathsep)):
        path = Path(entry)
        files = sorted(path.glob('*.py')) if path.is_dir() else [path]
        if not files or not files[0].is_file() or path.suffix not in ('', '.py') and not path.is_dir():
            raise CaffeError(f'CAFFE_LAYERS: {entry}: expected a .py file, or a folder of them')
        yield from (OwnModule(file.resolve()) for file in files)


def _extend(schema: ModuleType, fragments: list[Path]) -> None:
    file = descriptor_pb2.FileDescriptorProto()
    schema.DESCRIPTOR.CopyToProto(file)
    add_foreign_layers(file)
    pool = descriptor_pool.DescriptorPool()
    try:
        for path in fragments:
            _add(file, path)
        pool.Add(file)
    except TypeError as error:  # such as a type that there is not
        raise CaffeError(f'{", ".join(map(str, fragments))}: no valid schema ({first_line(error)})') from None
    made = pool.FindFileByName(file.name)
    classes = {name: message_factory.GetMessageClass(kind) for name, kind in made.message_types_by_name.items()}
    for kind in classes.values():
        kind.__module__ = schema.__name__  # so that messages can be pickled
    vars(schema).update(classes, DESCRIPTOR=made)


def _add(file: descriptor_pb2.FileDescriptorProto, path: Path) -> None:
    """Put a fragment into the schema; CaffeError for a name or a number that is taken."""
    fragment = read_fragment(path)
    layer = next(message for message in file.message_type if message.name == 'LayerParameter')
    taken = {item.name for item in (*file.message_type, *file.enum_type)}
    for item in (*fragment.nested_type, *fragment.enum_type):
        if item.name in taken:
            raise CaffeError(f"{path}: there is a '{item.name}' already, expected another name")
    for new in fragment.field:
        for old in layer.field:
            if new.name == old.name or new.number == old.number:
                raise CaffeError(
                    f"{path}: field '{new.name}' = {new.number} of LayerParameter clashes with '{old.name}' = "
                    f'{old.number}, expected another name or number'
                )
        layer.field.add().CopyFrom(new)
    file.message_type.extend(fragment.nested_type)
    file.enum_type.extend(fragment.enum_type)
