"""Make a set of synthetic faces: rendered people in raw 250x250 pictures and aligned 112x96 crops.

The folder gets raw/ and aligned/ with a folder per person, landmarks.txt (five points per raw picture), train.txt
(Caffe ImageData list below aligned/), pairs.txt (LFW's form, over people who are not in train.txt) and faces.json
(the settings). The same settings give the same bytes, with any number of workers; on another kind of
processor NumPy may round a few values otherwise. Run it again to continue after an
interruption; a finished folder is left as it is.
"""

import argparse
import os

from sphereslim.commands.arguments.values import seed, whole
from sphereslim.commands.ending import continues
from sphereslim.facedata.synthetic import dataset
from sphereslim.files import check_folder
from sphereslim.progress import counted

# {setting of a set: its option, what it is}
OPTIONS = {
    'people': ('--people', 'people to train on'),
    'pictures': ('--per-person', 'pictures of each of them'),
    'test_people': ('--test-people', 'people of pairs.txt'),
    'test_pictures': ('--test-per-person', 'pictures of each of them'),
    'folds': ('--folds', 'folds of pairs.txt, no person in two of them'),
    'pairs': ('--per-fold', 'matched pairs per fold, and as many mismatched'),
    'seed': ('--seed', 'another seed gives other people'),
}


@continues
def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    settings = dataset.Settings(**{name: getattr(args, name) for name in OPTIONS})
    settings.check()
    if dataset.is_finished(args.out, settings):
        print(f'{args.out}: already there, nothing to do')
        return
    dataset.make(args.out, settings, args.workers, counted('rendering', 'person'))
    total = settings.people * settings.pictures + settings.test_people * settings.test_pictures
    print(f'{args.out}: {total} pictures of {settings.people} people to train on and {settings.test_people} to test on')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = dataset.Settings()
    parser.add_argument('--out', default='data/faces', help='folder to write (default %(default)s)')
    for name, (option, help_text) in OPTIONS.items():
        parser.add_argument(
            option,
            dest=name,
            metavar='N',
            type=seed if name == 'seed' else int,
            default=getattr(default, name),
            help=f'{help_text} (default %(default)s)',
        )
    parser.add_argument(
        '--workers', type=whole, default=os.cpu_count(), help='processes that render (default %(default)s)'
    )
