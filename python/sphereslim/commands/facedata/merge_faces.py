"""Make one folder of people to train on from several, without anyone who is tested on or who is in it twice.

FACES has a folder per person, and its people keep their names: --pairs may name them. Those of every --with get its
name before their own. People of the pairs are never trained on: those of FACES stay in the folder, since the pairs name
their pictures, and prepare-faces keeps them apart; people of that name in the other folders are left out. With --model,
so is everyone who looks like a person of the pairs or like somebody who was taken before. merged.json tells the counts
and who was left out. --verify names folds of pairs that are written to pairs.txt together, and whose people are kept
apart like those of --pairs; the people of other folds are trained on. Run it again to continue after an interruption.

    sphereslim merge-faces LFW/lfw-112X112 --with celeba=CELEBA/celeba-112X112,CELEBA/identity.txt \\
      --with cfp=CFP/cfp-112X112 --verify LFW/pairs.txt:4-5 --verify cfp=CFP/pairs_ff.txt:3-5 \\
      --model m/deploy.prototxt m/net.caffemodel --rgb --out data/people
    FACES=data/people PAIRS=data/people/pairs.txt bash run_all.sh
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sphereslim.commands.arguments.pictures import add_form, form_of
from sphereslim.commands.arguments.values import seed, whole
from sphereslim.commands.ending import continues
from sphereslim.data.pairs import Folds
from sphereslim.errors import SlimError
from sphereslim.facedata.lists.look_alikes import centres, compared, look_alikes
from sphereslim.facedata.lists.merge import Merged, Rules, Source, choose, copy, reasons
from sphereslim.files import cache_folder, check_folder, file_digest
from sphereslim.progress import bar, counted


@continues
def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    if not args.pairs and not args.verify:
        raise SlimError('expected --pairs or --verify: who is tested on is not to be trained on')
    sources = [Source('faces', args.faces), *args.others]
    verified = verified_of(args.verify, sources)
    rules = Rules(tuple(args.pairs or ()), args.min_pictures, args.max_pictures, args.seed, verified)
    merged = choose(sources, rules)
    if args.model:
        merged.leave_out(alike(args, merged))
    page = copy(
        merged, args.out, settings_of(args, sources, rules), list(verified.values()), counted('copying', 'person')
    )
    print('\n'.join(lines(args.out, page, merged)))


def verified_of(entries: Sequence[tuple[str, Folds]], sources: Sequence[Source]) -> dict[str, Folds]:
    """{source: Folds} of --verify, each under the prefix that its source's people get; SlimError for one twice."""
    first, found = sources[0].name, {}
    for name, folds in entries:
        name = name or first
        if name in found:
            raise SlimError(f'--verify: pairs of {name} twice, expected one file for each source')
        found[name] = replace(folds, prefix='' if name == first else f'{name}_')
    return found


def alike(args: argparse.Namespace, merged: Merged) -> Mapping[str, str]:
    """{folder: reason} of the people whom the model takes for somebody else of the set."""
    from sphereslim.evaluation.features import features_of  # here, since the engine takes seconds to load

    people = compared(merged)
    deploy, weights = args.model
    found = features_of(
        deploy,
        weights,
        [path for person in people for path in person.files],
        cache=cache_folder('features'),
        form=form_of(args),
        mirror=False,
        batch=args.batch,
        progress=lambda starts: bar(starts, desc='features', unit_scale=args.batch, unit='pictures'),
    )
    return look_alikes(people, centres(found, [len(person.pictures) for person in people]), args.alike)


def settings_of(args: argparse.Namespace, sources: list[Source], rules: Rules) -> dict[str, Any]:
    """What decides the folder's content."""
    model: dict[str, Any] = {}
    if args.model:
        model = {'model': file_digest(*args.model), 'alike': args.alike, 'input': asdict(form_of(args))}
    verified = {name: [file_digest(folds.path), folds.folds] for name, folds in rules.verified.items()}
    return {
        'sources': {source.name: str(source.folder.resolve()) for source in sources},
        'pairs': file_digest(*rules.tested),
        'min_pictures': rules.min_pictures,
        'max_pictures': rules.max_pictures,
        'seed': rules.seed,
        **model,
        **({'verified': verified} if verified else {}),
    }


def lines(out: Path, page: Mapping[str, Any], merged: Merged) -> list[str]:
    """What to print of the folder."""
    rows = page['sources'].items()
    people, pictures = (sum(row[what] for _, row in rows) for what in ('people', 'pictures'))
    told = [f'{out}: {pictures} pictures of {people} people to train on']
    for name, row in rows:
        tested = f', and {row["tested people"]} people of the pairs' if row['tested people'] else ''
        told.append(f'  {name}: {row["pictures"]} pictures of {row["people"]} people{tested}')
    told += [f'  left out: {count} people, {reason}' for reason, count in reasons(merged)]
    return told


def source(text: str) -> Source:
    """The type of --with: NAME=FOLDER or NAME=FOLDER,IDENTITIES."""
    name, _, paths = text.partition('=')
    folder, _, identities = paths.partition(',')
    if not name.isidentifier() or not folder:
        raise argparse.ArgumentTypeError(f'{text}, expected NAME=FOLDER or NAME=FOLDER,IDENTITIES')
    return Source(name, Path(folder), Path(identities) if identities else None)


def folds_of(text: str) -> tuple[str, Folds]:
    """The type of --verify: [SOURCE=]FILE[:FOLDS], such as cfp=pairs_ff.txt:3-5."""
    match = re.fullmatch(r'(?:([A-Za-z_]\w*)=)?(.+?)(?::(\d+)(?:-(\d+))?)?', text)
    if not match:
        raise argparse.ArgumentTypeError(f'{text}, expected [SOURCE=]FILE[:FOLDS] such as cfp=pairs_ff.txt:3-5')
    source, path, first, last = match.groups()
    folds = tuple(range(int(first), int(last or first) + 1)) if first else None
    if folds is not None and (not folds or not folds[0]):
        raise argparse.ArgumentTypeError(f'{text}: folds {first}-{last}, expected them from 1 on, in order')
    return source or '', Folds(Path(path), folds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('faces', metavar='FACES', type=Path, help='folder of person folders with aligned pictures')
    parser.add_argument(
        '--with',
        dest='others',
        type=source,
        action='append',
        default=[],
        metavar='NAME=FOLDER[,IDENTITIES]',
        help='more people to train on: person folders, or a folder and its file of `picture identity` lines',
    )
    parser.add_argument(
        '--pairs',
        type=Path,
        action='append',
        help="pairs that are tested, in LFW's form; may be said several times",
    )
    parser.add_argument(
        '--verify',
        type=folds_of,
        action='append',
        default=[],
        metavar='[SOURCE=]PAIRS[:FOLDS]',
        help='folds (such as 3-5) of pairs of FACES or of a --with, to write to pairs.txt; may be said several times',
    )
    parser.add_argument(
        '--model', nargs=2, metavar=('DEPLOY', 'WEIGHTS'), help='leave out who looks like a person of the pairs or set'
    )
    parser.add_argument(
        '--alike', type=float, default=0.65, help='cosine of two people from which on they are one (default 0.65)'
    )
    parser.add_argument(
        '--min-pictures', type=whole, default=4, help='least number of pictures of a person to train on (default 4)'
    )
    parser.add_argument('--max-pictures', type=whole, help='most pictures of a person to train on (default: all)')
    parser.add_argument('--seed', type=seed, default=0, help='of the choice of pictures (default 0)')
    parser.add_argument('--out', type=Path, required=True, help='folder to write')
    add_form(parser)
