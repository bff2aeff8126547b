"""Files beside the code: what is installed with the package, and the networks that lie in the project's checkout."""

from pathlib import Path

from sphereslim.errors import SlimError

_PACKAGE = Path(__file__).resolve().parent
PUBLISHED = _PACKAGE / 'studies' / 'published'  # tables and curves of the sources
SETTINGS = _PACKAGE / 'studies' / 'settings'


def checkout(wanted: str) -> Path:
    """The root of the checkout that holds `wanted`, such as prototxt/vgg16: the package's own, or the current folder.

    SlimError where neither has it: networks and scripts are not installed with the package.
    """
    for root in (_PACKAGE.parents[1], Path.cwd()):
        if (root / wanted).exists():
            return root
    raise SlimError(f"{wanted}: not there; it is part of the project's checkout and is not installed, run this in one")
