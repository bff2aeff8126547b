"""Verify faces after LFW's view 2: accuracy per fold, its mean and standard error, EER, TAR at low FAR.

Features of each picture (and of its mirror image, concatenated) are centred on the other folds, compared by cosine, and
judged by the threshold that does best on the other folds, as LFW's and CFP's protocols ask. Features are kept by the
content of net, weights and pictures, so that the same evaluation is instant the second time. --against says what a net
loses to another one on the same pairs, which is known better than either accuracy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sphereslim.commands.arguments.compared import tell_softmax
from sphereslim.commands.arguments.net_stages import add_net_stages, in_net_stages
from sphereslim.commands.arguments.pictures import add_form, add_pairs, form_of, sets_of, tell_cropped
from sphereslim.data.pairs import PairSet, read_pairs
from sphereslim.data.preparation import InputForm
from sphereslim.errors import SlimError
from sphereslim.evaluation.paired import loss_against
from sphereslim.evaluation.roc import area, equal_error_rate, roc, tar_at
from sphereslim.evaluation.verification import score
from sphereslim.files import cache_folder, check_writable, read_json, write_json
from sphereslim.net.inputs import input_shape
from sphereslim.net.prototxt import read_net
from sphereslim.progress import bar

FARS = (1e-3, 1e-4)
FEW = 200  # pairs: below that, one more is half a percent and more
NO_PAIRS = 'says of no single pairs whether they are judged right, expected the --json of an evaluation'
PLOTS = ('.png', '.svg', '.pdf')


def run(args: argparse.Namespace) -> None:
    check_writable(args.json)
    check_writable(args.roc, endings=PLOTS)
    sets = sets_of(args)
    if args.roc and len(sets) > 1:
        raise SlimError('--roc draws one list of pairs, expected a single --pairs with it')
    stored = read_stored(args.against)
    form = form_of(args)
    found = {}
    with in_net_stages(args.deploy, args.stage) as deploy:
        check_input(args, deploy, sets, form)
        for pair_set in sets:
            values, far, tar = _measure(args, deploy, args.weights, pair_set, form)
            found[pair_set.name] = values
            if len(sets) > 1:
                print(f'\n{pair_set.name}: {pair_set.pairs}')
            print('\n'.join(lines(values, form)))
            if args.against:
                print(_tell_loss(args, pair_set, form, stored, values))
            tell_few(values['pairs'])
    if args.json:
        write_json(args.json, values if len(sets) == 1 else {'sets': found})
    if args.roc:
        from sphereslim.evaluation.roc import plot_roc

        plot_roc(args.roc, far, tar, f'{Path(args.weights).name}: {values["accuracy"]:.2f} %')


def check_input(args: argparse.Namespace, deploy: str | Path, sets: Sequence[PairSet], form: InputForm) -> None:
    """Notes on what of net and pictures may be meant otherwise; SlimError for pairs without their pictures."""
    net = read_net(deploy)
    if not args.feature:
        tell_softmax(net, '--feature names another blob')
    for pair_set in sets:
        pictures = read_pairs(pair_set.pairs, pair_set.pictures).pictures
        tell_cropped(pictures[0], (input_shape(net) or ())[1:], form.crop)


def _measure(
    args: argparse.Namespace, deploy: str | Path, weights: str | Path, pair_set: PairSet, form: InputForm
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """(figures in percent, far, tar) of a net on a PairSet."""
    result, scores, same = score(
        deploy,
        weights,
        pair_set.pairs,
        pair_set.pictures,
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
        'mismatched': int((~same).sum()),
        'input': asdict(form),
        'eer': 100 * equal_error_rate(far, tar),
        'auc': 100 * area(far, tar),
        **{f'tar_at_far_{limit:g}': 100 * tar_at(far, tar, limit) for limit in FARS},
    }
    return values, far, tar


def read_stored(against: Sequence[str] | None) -> list[dict[str, Any]]:
    """The results in the JSON file that --against names, [] where it names a net or nothing. SlimError."""
    if not against or len(against) == 2:
        return []
    if len(against) > 2:
        raise SlimError(
            f'--against: {len(against)} files, expected a deploy prototxt and its caffemodel, or a JSON file'
        )
    values = read_json(against[0])
    values = values if isinstance(values, dict) else {}
    found = [values, values.get('after'), *(values.get('sets') or {}).values()]
    known = [result for result in found if isinstance(result, dict) and result.get('right')]
    if not known:
        raise SlimError(f'{against[0]}: {NO_PAIRS}')
    return known


def _tell_loss(
    args: argparse.Namespace,
    pair_set: PairSet,
    form: InputForm,
    stored: Sequence[Mapping[str, Any]],
    values: dict[str, Any],
) -> str:
    """A line on what the net loses to the one of --against; the figures are added to `values`."""
    if stored:
        own = [result for result in stored if result['pairs_digest'] == values['pairs_digest']]
        if not own:
            raise SlimError(f'{args.against[0]}: holds no results on the pairs of {pair_set.pairs}')
        before = own[0]
    else:
        before, _, _ = _measure(args, args.against[0], args.against[1], pair_set, form)
    loss = loss_against(before, values)
    if loss is None:
        raise SlimError(f'{args.against[0]}: {NO_PAIRS}')
    values['against'] = {'accuracy': before['accuracy'], **loss.as_dict()}
    return (
        f'lost     {loss} to {args.against[-1]} ({before["accuracy"]:.2f} %), paired: {loss.only_before} of '
        f'{values["pairs"]} pairs only that one judges right, {loss.only_after} only this one, McNemar p = {loss.p:.2g}'
    )


def tell_few(pairs: int) -> None:
    """Print a note where an accuracy says little because there are only so many pairs."""
    if pairs < FEW:
        print(
            f'note: {pairs} pairs are few: accuracy and EER move in steps of {100 / pairs:.2g} % and more, and need '
            'not agree; LFW has 6,000',
            file=sys.stderr,
        )


def lines(values: Mapping[str, Any], form: InputForm) -> Iterator[str]:
    """What to print of the figures in percent."""
    folds, mismatched = values['folds'], values['mismatched']
    yield from (f'fold {number:2d}   {fold:6.2f} %' for number, fold in enumerate(folds, 1))
    if len(folds) > 1:
        spread = f' +- {values["error"]:.2f} (mean, standard error of {len(folds)} folds)'
    else:
        spread = ' (one fold, judged by the threshold that suits it best: no estimate, and no standard error)'
    yield f'accuracy {values["accuracy"]:6.2f} %{spread}'
    yield f'EER      {values["eer"]:6.2f} %'
    yield f'AUC      {values["auc"]:6.2f} %'
    for limit in FARS:
        note = f' (that is FAR 0: there are only {mismatched} mismatched pairs)' if limit * mismatched < 1 else ''
        yield f'TAR      {values[f"tar_at_far_{limit:g}"]:6.2f} % at FAR {limit:g}{note}'
    order = 'RGB (BGR without --rgb)' if form.rgb else 'BGR (RGB with --rgb)'
    yield f'input    {order}, (x - {form.mean}) x {form.scale:g}, crop {form.crop}: none of it is in the files of a net'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', help='deploy prototxt; its input decides the size and the number of channels')
    parser.add_argument('weights', help='caffemodel')
    add_pairs(parser, several=True)
    parser.add_argument(
        '--against',
        nargs='+',
        metavar='FILE',
        help='also say what the net loses, pair by pair: against the net of a deploy prototxt and its caffemodel, or '
        'against what --json wrote of it (or evaluation.json of a stage)',
    )
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
