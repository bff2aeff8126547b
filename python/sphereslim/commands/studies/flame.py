"""The 1.13 MB model's experiment: baseline, seven networks, distillation, bits sweep, binarization, file, report.

The networks need the layers Python, Log and Normalize, which no public genuine Caffe has together; our own has them.
Without --pictures a set of synthetic faces is made. Every step is a folder below --out; stop at any moment, the same
command goes on where it stopped. For CelebA:
  python preprocess/list_celeba.py identity_CelebA.txt --out data/celeba
  python python/flame.py --settings python/settings/flame.full.json --pictures img_align_celeba --lists data/celeba
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sphereslim
from sphereslim.checkout import PUBLISHED, SETTINGS, checkout
from sphereslim.commands.arguments.page import add_doc
from sphereslim.commands.command_line import command_line
from sphereslim.errors import SlimError
from sphereslim.evaluation.top1 import Top1
from sphereslim.files import check_folder, only_one
from sphereslim.progress import bar
from sphereslim.report.markdown import table_text
from sphereslim.studies.flame import report
from sphereslim.studies.flame import run as steps
from sphereslim.studies.flame.lists import make_lists
from sphereslim.studies.flame.nets import BASELINE, VARIANTS
from sphereslim.studies.flame.settings import Settings, read_settings
from sphereslim.studies.page import keep_on_page
from sphereslim.training.stage import train_with_bar


def run(options: argparse.Namespace) -> None:
    check_folder(options.out)
    settings = read_settings(options.settings)
    if settings.distillation.student not in VARIANTS:
        raise SlimError(
            f'{options.settings}: student {settings.distillation.student}, expected one of: {", ".join(VARIANTS)}'
        )
    # networks name a Python layer of the library, which `caffe train` has to find
    library = str(Path(sphereslim.__file__).parents[1])
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [library, os.environ.get('PYTHONPATH')]))
    steps.check(settings, _under_root(settings.net))
    with only_one(options.out):
        pictures, given = _pictures(options, settings)
        lists = make_lists(pictures, given, options.out / 'lists', settings.validation, settings.seed)
        measure = Top1(lists.val, lists.pictures, settings.resize, settings.crop)
        run = steps.Run(options.out, _under_root(settings.net), settings, lists, measure)
        results = {variant: train(run, variant, steps.emit_variant, options.gpu) for variant in VARIANTS}
        results['distilled'] = train(run, 'distilled', lambda run, _: steps.emit_distilled(run), options.gpu)
        sweeps = {variant: sweep(run, variant) for variant in settings.sweep.variants}
        binary = binarize(run)
        chosen = choose(run, results, sweeps)
        page, tables = report.write(run, results, sweeps, binary, chosen, options.published, command_line())
    if options.doc:
        keep_on_page(options.doc, 'flame', tables, {'results': results, 'sweeps': sweeps, 'binary': binary})
    for table in tables:
        print(f'\n{table.title}\n{table_text(table)}')
    print('', chosen['text'], chosen['unpack'], f'report: {page} (also report.md and report.json beside it)', sep='\n')


def _under_root(path: str) -> Path:
    return Path(path) if Path(path).exists() else checkout(path) / path


def _pictures(options: argparse.Namespace, settings: Settings) -> tuple[Path, Path]:
    """(folder of pictures, folder of lists), made where none are given."""
    if options.pictures:
        return options.pictures, options.lists or options.pictures
    if not settings.people:
        raise SlimError(f'{options.settings}: is for real pictures, expected --pictures and --lists')
    faces = options.faces
    command = [
        *(sys.executable, '-m', 'sphereslim', 'make-faces'),
        '--out',
        str(faces),
        '--people',
        str(settings.people),
        '--per-person',
        str(settings.pictures),
        '--test-people',
        '10',
        '--test-per-person',
        '2',
        '--folds',
        '2',
        '--per-fold',
        '2',
        '--seed',
        str(settings.seed),
    ]
    if subprocess.run(command).returncode:
        raise SlimError(f'{faces}: the faces could not be made')
    return faces / 'aligned', faces


def train(run: steps.Run, variant: str, emit: Callable[[steps.Run, str], object], gpu: str | None) -> dict[str, Any]:
    """The results of one training, which is made where it is not there."""
    stage = run.stage(variant)
    if not stage.is_emitted():
        emit(run, variant)
    if not stage.is_trained():
        train_with_bar(stage, stage.name, gpu)
    result = steps.evaluate(run, variant)
    print(f'{stage.name}: {result["accuracy"]:.2f} %, {result["bytes"]:,} bytes, {result["macs"]:,} MACs', flush=True)
    return result


def sweep(run: steps.Run, variant: str) -> list[dict[str, Any]]:
    """The rows of a variant's bits sweep."""
    return steps.sweep(run, variant, lambda todo: bar(todo, desc=f'{variant}: bits', unit='net', disable=not todo))


def binarize(run: steps.Run) -> dict[str, Any]:
    """{accuracy, bytes} after training with binary weights, convolutions only as in the print, the first one kept."""
    stage = run.stage('binary')
    if not stage.is_emitted():
        steps.emit_binary(run)
    output = stage.folder / 'binary'
    if not output.with_suffix('.qcaffemodel').is_file():
        states = sorted(stage.folder.glob('*.solverstate'), key=lambda path: path.stat().st_mtime)
        start = ['--snapshot', str(states[-1])] if states else ['--weights', str(run.stage(BASELINE).final)]
        command = [
            *(sys.executable, '-m', 'sphereslim', 'binarize'),
            '--solver',
            str(stage.solver),
            *start,
            '--out',
            str(output),
            '--layers',
            'conv',
            '--keep',
            steps.first_convolution(stage),
        ]
        if subprocess.run(command).returncode or not output.with_suffix('.qcaffemodel').is_file():
            raise SlimError(f'{stage.folder}: training with binary weights did not end; the same command continues')
    result = steps.evaluate(run, 'binary', output.with_suffix('.caffemodel'))
    return result | {'bytes': output.with_suffix('.qcaffemodel').stat().st_size}


def choose(
    run: steps.Run, results: Mapping[str, dict[str, Any]], sweeps: Mapping[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """The smallest file of the student, distilled or not, that stays within the tolerance: flame.qcaffemodel."""
    student = run.settings.distillation.student
    variant = max([name for name in (student, 'distilled') if name in sweeps], key=lambda n: results[n]['accuracy'])
    row = steps.smallest(sweeps[variant], results[variant]['accuracy'], run.settings.sweep.tolerance)
    path = run.folder / 'flame.qcaffemodel'
    size = steps.write_file(run, variant, row, path)
    text = (
        f'{path.name}: {variant}, {row["scheme"]} with {row["bits"]} bits, {size:,} bytes with its prototxt, '
        f'{row["value"]:.2f} % ({results[variant]["accuracy"]:.2f} % as float32)'
    )
    unpack = f'sphereslim quantize dequantize {path} --out flame.caffemodel --write-deploy flame.prototxt'
    return {'variant': variant, **row, 'file_bytes': size, 'text': text, 'unpack': unpack}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--settings',
        default=str(SETTINGS / 'flame.small.json'),
        help='JSON of the run (default: the small one)',
    )
    parser.add_argument('--out', type=Path, default=Path('work/flame'), help='folder of the run (default work/flame)')
    parser.add_argument('--pictures', type=Path, help="folder that the lists' paths start from")
    parser.add_argument('--lists', type=Path, help='folder with train.txt, and val.txt or it is split off')
    parser.add_argument(
        '--faces',
        type=Path,
        default=Path('data/flame-faces'),
        help='where synthetic faces are made (default data/flame-faces)',
    )
    parser.add_argument('--published', type=Path, default=PUBLISHED, help="folder of the sources' figures")
    add_doc(parser)
    parser.add_argument('--gpu', help='GPU number, several with commas, or all')
