"""Selection criteria, one file each: which channels of a group to keep."""

from sphereslim.criteria import apoz, entropy, fpgm, greedy_pair, l1, l2, lasso, obs, random, taylor, thinet
from sphereslim.errors import SlimError

CRITERIA = {
    module.CRITERION.name: module.CRITERION
    for module in (greedy_pair, thinet, entropy, random, l1, l2, fpgm, apoz, taylor, lasso, obs)
}


def criterion(name):
    """The criterion of a name; SlimError lists those that exist."""
    if name not in CRITERIA:
        raise SlimError(f"no criterion '{name}', expected one of: {', '.join(CRITERIA)}")
    return CRITERIA[name]
