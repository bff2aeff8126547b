"""Where the tests find the repository's own files, and the published models and data that only some machines have."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get('SHARED', ROOT.parent / 'shared'))
# every network and solver of prototxt/, which has a folder that is a link
PROTOTXT_FILES = sorted(
    Path(folder, name)
    for folder, _, names in os.walk(ROOT / 'prototxt', followlinks=True)
    for name in names
    if name.endswith('.prototxt')
)
