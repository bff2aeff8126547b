"""Lists of pictures with their labels, as Caffe's ImageData reads them: a line `path label` each."""

from pathlib import Path

from sphereslim.errors import SlimError
from sphereslim.files import read_text


def read_labelled(path, folder=None):
    """[(picture, label)] of a list, blank lines passed over; the pictures are looked for in `folder` where it is given.

    SlimError naming the line that is none or whose picture is missing, and for a list without any.
    """
    rows = []
    for number, line in enumerate(read_text(path, 'lines of `path label`').splitlines(), 1):
        words = line.rsplit(maxsplit=1)
        if words and (len(words) != 2 or not words[1].isdigit()):
            raise SlimError(f"{path}:{number}: '{line.strip()}', expected `path label`")
        if words and folder is not None and not Path(folder, words[0].strip()).is_file():
            raise SlimError(f'{path}:{number}: {Path(folder, words[0].strip())}: no such picture')
        if words:
            rows.append((words[0].strip(), int(words[1])))
    if not rows:
        raise SlimError(f'{path}: is empty, expected lines of `path label`')
    return rows
