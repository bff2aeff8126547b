"""Training lists in the form of Caffe's ImageData layer: `path label`, labels dense from 0."""

from facedata.errors import FaceDataError


def choose(people, without=(), min_pictures=1):
    """The people of `people` ({person: pictures}) who are not in `without` and have at least `min_pictures`."""
    if min_pictures < 1:
        raise FaceDataError(f'min-pictures is {min_pictures}, expected at least 1')
    left_out = set(without)
    return {person: pictures for person, pictures in people.items()
            if person not in left_out and len(pictures) >= min_pictures}


def as_text(people):
    """The list's text for {person: pictures}; labels follow the order of the people."""
    return ''.join(f'{picture} {label}\n' for label, pictures in enumerate(people.values()) for picture in pictures)
