"""A list of generated pictures as a folder of faces that the workflow trains on."""

from pathlib import Path

from benchmarks.pictures import make_list
from sphereslim.data.lists import Faces, open_faces


def generated_faces(folder: Path, pictures: int, people: int) -> Faces:
    """Faces in `folder`: every person of the list has one of the pictures, pairs.txt is in two folds."""
    aligned = folder / 'aligned'
    aligned.mkdir(parents=True)
    names = [Path(path).name for path in make_list(aligned, pictures)]
    lines = [f'{names[person % pictures]} {person}\n' for person in range(people)]
    (folder / 'train.txt').write_text(''.join(lines))
    tested = [f'P{k}' for k in range(4)]
    for person in tested:
        (aligned / person).mkdir()
        for number in (1, 2):
            path = aligned / person / f'{person}_{number:04d}.jpg'
            path.write_bytes((aligned / names[(int(person[1:]) + 4 * number) % pictures]).read_bytes())
    folds = [
        [f'{a}\t1\t2\n', f'{b}\t1\t2\n', f'{a}\t1\t{b}\t2\n', f'{b}\t1\t{a}\t2\n'] for a, b in (tested[:2], tested[2:])
    ]
    (folder / 'pairs.txt').write_text('2\t2\n' + ''.join(line for fold in folds for line in fold))
    return open_faces(folder)
