"""Which of PyTorch's operators a CUDA device can run, read from the declarations that the torchgen package ships."""

import re
from functools import cache
from pathlib import Path

import torch

_DECLARATION = re.compile(r'^- func: ([\w.]+)\(')
_FIELD = re.compile(r'^  (structured_delegate|device_check): ([\w.]+)')
_DISPATCH = re.compile(r'^    ([\w, ]+): \w')
# operators that wait for the device, because the host has to know a value or the size of the result
SYNCHRONISING = frozenset(
    (
        'nonzero',
        'masked_select',
        'equal',
        'is_nonzero',
        '_unique2',
        'unique_dim',
        'unique_consecutive',
        'bincount',
        'repeat_interleave.Tensor',
        'allclose',
    )
)


@cache
def declarations():
    """{operator, as in 'add_.Tensor': {'keys': dispatch keys, 'structured_delegate': …, 'device_check': …}}."""
    import torchgen

    path = Path(torchgen.__path__[0]) / 'packaged' / 'ATen' / 'native' / 'native_functions.yaml'
    found, entry = {}, None
    for line in path.read_text().splitlines():
        if match := _DECLARATION.match(line):
            entry = found[match[1]] = {'keys': set()}
        elif match := _FIELD.match(line):
            entry[match[1]] = match[2]
        elif match := _DISPATCH.match(line):
            entry['keys'].update(match[1].split(', '))
        elif line.startswith('  ufunc_inner_loop:'):  # kernels for CPU and CUDA made from one formula
            entry['keys'].add('CUDA')
    return found


@cache
def name_of(operator):
    """An OpOverload's name as the declarations have it."""
    return operator._schema.name.removeprefix('aten::') + f'.{operator._overloadname}'.removesuffix('.default')


@cache
def exists_on_cuda(operator):
    """Whether CUDA has a kernel of its own for it, or it is composed of others; the generated variants count as such.

    Operators of other libraries than ATen and of mkldnn count as kernels of the CPU.
    """
    if operator.namespace != 'aten' or 'mkldnn' in operator._schema.name:
        return operator.namespace in ('prims', 'prim')
    entry = declarations().get(name_of(operator))
    if entry is None:
        return True
    keys = entry['keys']
    if 'structured_delegate' in entry:
        keys = keys | declarations()[entry['structured_delegate']]['keys']
    return not keys or 'CUDA' in keys or any(key.startswith('Composite') for key in keys)


@cache
def takes_host_scalars(operator):
    """Whether a tensor without axes may lie on the host while the others lie on the device."""
    entry = declarations().get(name_of(operator), {})
    return entry.get('device_check') == 'NoCheck'


def is_boolean_index(operator, args):
    """Whether this is indexing by a mask, whose result has a size that only the device knows."""
    if not operator._schema.name.startswith(('aten::index', 'aten::_index_put', 'aten::_unsafe_index')):
        return False
    return (
        any(isinstance(part, torch.Tensor) and part.dtype in (torch.bool, torch.uint8) for part in args[1] or ())
        if isinstance(args[1], (list, tuple))
        else False
    )
