"""Selection criteria, one file each: which channels of a group to keep."""

from sphereslim.criteria import greedy_pair
from sphereslim.errors import RequestError

CRITERIA = {module.CRITERION.name: module.CRITERION for module in (greedy_pair,)}


def criterion(name):
    """The criterion of a name; RequestError lists those that exist."""
    if name not in CRITERIA:
        raise RequestError(f"no criterion '{name}', expected one of: {', '.join(CRITERIA)}")
    return CRITERIA[name]
