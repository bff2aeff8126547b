"""Selection criteria, one file each: which channels of a group to keep."""

from sphereslim.criteria import apoz, entropy, fpgm, greedy_pair, l1, l2, lasso, obs, random, taylor, thinet
from sphereslim.errors import RequestError

CRITERIA = {module.CRITERION.name: module.CRITERION
            for module in (greedy_pair, thinet, entropy, random, l1, l2, fpgm, apoz, taylor, lasso, obs)}


def criterion(name):
    """The criterion of a name; RequestError lists those that exist."""
    if name not in CRITERIA:
        raise RequestError(f"no criterion '{name}', expected one of: {', '.join(CRITERIA)}")
    return CRITERIA[name]
