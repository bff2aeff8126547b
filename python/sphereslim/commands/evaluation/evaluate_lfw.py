"""Verify faces after LFW's view 2: accuracy per fold, its mean and standard error, EER, TAR at low FAR.

Features of each picture (and of its mirror image, concatenated) are centred on the other folds, compared by cosine, and
judged by the threshold that does best on the other folds. Features are kept by the content of net, weights and
pictures, so that the same evaluation is instant the second time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sphereslim.commands.arguments.compared import tell_softmax
from sphereslim.commands.arguments.net_stages import add_net_stages, in_net_stages
from sphereslim.commands.arguments.pictures import add_form, add_pairs, form_of, tell_cropped
from sphereslim.data.pairs import read_pairs
from sphereslim.data.preparation import InputForm
from sphereslim.evaluation.roc import equal_error_rate, roc, tar_at
from sphereslim.evaluation.verification import score
from sphereslim.files import cache_folder, check_writable, write_json
from sphereslim.net.inputs import input_shape
from sphereslim.net.prototxt import read_net
from sphereslim.progress import bar

FARS = (1e-3, 1e-4)
FEW = 200  # pairs: below that, one more is half a percent and more
PLOTS = ('.png', '.svg', '.pdf')


def run(args: argparse.Namespace) -> None:
    check_writable(args.json)
    check_writable(args.roc, endings=PLOTS)
    form = form_of(args)
    with in_net_stages(args.deploy, args.stage) as deploy:
        net = read_net(deploy)
        if not args.feature:
            tell_softmax(net, '--feature names another blob')
        pictures = read_pairs(args.pairs, args.pictures).pictures
        tell_cropped(pictures[0], (input_shape(net) or ())[1:], form.crop)
        result, scores, same = score(
            deploy,
            args.weights,
            args.pairs,
            args.pictures,
            form=form,
            feature=args.feature,
            mirror=args.mirror,
            batch=args.batch,
            progress=progress_of(args.batch),
            cache=None if args.no_cache else args.cache,
        )
    far, tar = roc(scores, same)
    values = {
        **result.as_dict(),
        'input': asdict(form),
        'eer': 100 * equal_error_rate(far, tar),
        **{f'tar_at_far_{limit:g}': 100 * tar_at(far, tar, limit) for limit in FARS},
    }
    print('\n'.join(lines(values, int((~same).sum()), form)))
    tell_few(result.pairs)
    if args.json:
        write_json(args.json, values)
    if args.roc:
        from sphereslim.evaluation.roc import plot_roc

        plot_roc(args.roc, far, tar, f'{Path(args.weights).name}: {values["accuracy"]:.2f} %')


def tell_few(pairs: int) -> None:
    """Print a note where an accuracy says little because there are only so many pairs."""
    if pairs < FEW:
        print(
            f'note: {pairs} pairs are few: accuracy and EER move in steps of {100 / pairs:.2g} % and more, and need '
            'not agree; LFW has 6,000',
            file=sys.stderr,
        )


def lines(values: Mapping[str, Any], mismatched: int, form: InputForm) -> Iterator[str]:
    """What to print of the figures in percent; `mismatched` is the number of pairs that a FAR is a share of."""
    folds = values['folds']
    yield from (f'fold {number:2d}   {fold:6.2f} %' for number, fold in enumerate(folds, 1))
    if len(folds) > 1:
        spread = f' +- {values["error"]:.2f} (mean, standard error of {len(folds)} folds)'
    else:
        spread = ' (one fold, judged by the threshold that suits it best: no estimate, and no standard error)'
    yield f'accuracy {values["accuracy"]:6.2f} %{spread}'
    yield f'EER      {values["eer"]:6.2f} %'
    for limit in FARS:
        note = f' (that is FAR 0: there are only {mismatched} mismatched pairs)' if limit * mismatched < 1 else ''
        yield f'TAR      {values[f"tar_at_far_{limit:g}"]:6.2f} % at FAR {limit:g}{note}'
    order = 'RGB (BGR without --rgb)' if form.rgb else 'BGR (RGB with --rgb)'
    yield f'input    {order}, (x - {form.mean}) x {form.scale:g}, crop {form.crop}: none of it is in the files of a net'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', help='deploy prototxt; its input decides the size and the number of channels')
    parser.add_argument('weights', help='caffemodel')
    add_pairs(parser)
    add_form(parser, several_means=True)
    add_net_stages(parser)
    parser.add_argument('--feature', help="blob to compare, instead of the net's first output")
    parser.add_argument(
        '--cache', default=str(cache_folder('features')), help='folder that keeps features (default %(default)s)'
    )
    parser.add_argument('--no-cache', action='store_true', help='neither take nor keep features')
    parser.add_argument('--json', metavar='FILE', help='write the figures, in percent')
    parser.add_argument('--roc', metavar='FILE', help='plot the receiver operating characteristic (png, svg or pdf)')


def progress_of(batch: int) -> Callable[[Iterable[int]], Iterable[int]]:
    """A bar over batches that counts pictures."""
    return lambda starts: bar(starts, desc='features', unit_scale=batch, unit='pictures')
