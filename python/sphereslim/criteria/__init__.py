"""Selection criteria, one file each: which channels of a group to keep.

Every module of this package that says CRITERION is one.
"""

from importlib import import_module
from pkgutil import iter_modules

from sphereslim.criteria.criterion import Criterion
from sphereslim.errors import SlimError

_MODULES = [import_module(f'{__name__}.{found.name}') for found in iter_modules(__path__)]
CRITERIA: dict[str, Criterion] = {m.CRITERION.name: m.CRITERION for m in _MODULES if hasattr(m, 'CRITERION')}


def criterion(name: str) -> Criterion:
    """The criterion of a name; SlimError lists those that exist."""
    if name not in CRITERIA:
        raise SlimError(f"no criterion '{name}', expected one of: {', '.join(CRITERIA)}")
    return CRITERIA[name]
