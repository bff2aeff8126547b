"""Where the tests find the repository's own files, and the published models and data that only some machines have."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get('SHARED', ROOT.parent / 'shared'))
