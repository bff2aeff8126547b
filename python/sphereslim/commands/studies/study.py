"""Study how far one trained model can be pruned: every criterion at several budgets, refitted, then distilled.

Budgets of MACs are spent over groups by their sensitivity; each criterion then chooses the channels, which are cut in
one shot, with and without refitting the readers (least squares, no training). The best one of every budget is refitted
on more pictures and verified on all pairs. So is the net that is made smaller step by step, each step measured anew,
which where asked for is distilled without labels by the original. Run it again to continue after an interruption.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sphereslim.commands.arguments.budgets import budgets
from sphereslim.commands.arguments.compared import ENDS, tell_softmax
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.pictures import add_pictures, feeds, form_of, sets_of
from sphereslim.commands.arguments.values import not_negative, rates, whole
from sphereslim.commands.command_line import command_line
from sphereslim.compression.cpu_time import cpu_of_children
from sphereslim.criteria import CRITERIA
from sphereslim.criteria import criterion as find_criterion
from sphereslim.data.feed import Feed
from sphereslim.data.pairs import write_few
from sphereslim.data.pictures import shuffled_pictures
from sphereslim.errors import SlimError
from sphereslim.files import check_folder, check_writable, only_one
from sphereslim.net.engine_check import check_engine
from sphereslim.net.prototxt import read_solver
from sphereslim.progress import bar
from sphereslim.pruning import distillation
from sphereslim.pruning.allocation import curves
from sphereslim.pruning.measures import OutputShift
from sphereslim.pruning.model import Model, cost, open_model
from sphereslim.pruning.reconstruct import Fit
from sphereslim.pruning.sensitivity import SensitivityTable, study
from sphereslim.pruning.sensitivity_plot import draw
from sphereslim.report.cells import accuracy_text
from sphereslim.report.drawing import png
from sphereslim.report.markdown import table_text
from sphereslim.report.write import write_into, write_report
from sphereslim.studies.one_shot import page
from sphereslim.studies.one_shot.study import Study, percent
from sphereslim.training.stage import Stage, train_with_bar


def run(args: argparse.Namespace) -> None:
    check_folder(args.out)
    sets_of(args)
    check_writable(args.doc, endings=('.md',))
    criteria = args.criteria.split(',') if args.criteria else list(CRITERIA)
    for name in [*criteria, args.ranked_by]:
        find_criterion(name)
    check_engine([args.deploy])
    model = open_model(args.deploy, args.weights, args.stage)
    tell_softmax(model.net, ENDS)
    shares(args, cost(model.net)[0])
    if args.distill:
        distillation.check(model, form_of(args))
    out = Path(args.out)
    with only_one(out):
        job, more = make_study(args, model, out)
        tell('original', job.original()['all'])
        best = table(args, job, criteria)
        for budget in args.budgets:
            tell(f'{budget:.0%} of the MACs, {best[budget]}, refitted', job.headline(best[budget], budget, more)['all'])
        for found in job.stepwise(args.budgets, more):
            tell(f'{found["budget"]:.0%} of the MACs, step by step', found['all'])
        for budget in args.distill:
            distil(args, job, budget)
        report(args, job, out)


def shares(args: argparse.Namespace, macs: float) -> None:
    """Turn --budgets and --distill into shares of the MACs, from the largest on."""
    for name in ('budgets', 'distill'):
        found = {budget.share_of(macs, 'MACs') for budget in getattr(args, name) or ()}
        setattr(args, name, sorted(found, reverse=True))
    if set(args.distill) - set(args.budgets):
        raise SlimError('--distill: expected some of --budgets')


def make_study(args: argparse.Namespace, model: Model, out: Path) -> tuple[Study, Feed]:
    """(Study, Feed of more pictures), its sensitivities measured."""
    fit_feed, test_feed, more = feeds(args, model.net, args.test_count, args.refit_count)
    fit = Fit(args.places)
    found = sensitivities(args, model, out, fit_feed, test_feed, fit)
    first, *others = sets_of(args)
    few = write_few(first.pairs, out / 'few_pairs.txt', args.few_folds, args.few_pairs)
    job = Study(
        out,
        model,
        first.pairs,
        few,
        first.pictures,
        form_of(args),
        fit_feed,
        test_feed,
        curves(found.rows),
        fit,
        Fit(args.refit_places, args.ridge),
        args.seed,
        args.batch,
        lambda batches: bar(batches, 'verifying', leave=False),
        others,
    )
    return job, more


def sensitivities(
    args: argparse.Namespace, model: Model, out: Path, fit_feed: Feed, test_feed: Feed, fit: Fit
) -> SensitivityTable:
    """The sensitivity of every group, measured or continued in `out`."""
    subject = {
        'deploy': args.deploy,
        'weights': args.weights,
        'criterion': args.ranked_by,
        'loss': '1 - cosine of outputs',
        'refitted': True,
        'pictures': args.count,
        'seed': args.seed,
        'stage': args.stage or None,
    }
    found = SensitivityTable(out / 'sensitivity.json', subject)
    study(
        model,
        found,
        args.rates,
        args.ranked_by,
        OutputShift(model, test_feed),
        fit_feed,
        fit,
        True,
        args.seed,
        lambda todo: bar(todo, desc='pruning each group alone', unit='cut'),
    )
    draw(out / 'sensitivity.png', found.rows, subject)
    return found


def table(args: argparse.Namespace, job: Study, criteria: Sequence[str]) -> dict[float, str]:
    """Fill the table of all criteria; {budget: criterion whose refitted net is nearest to the original}."""
    todo = [
        (c, b, refitted, uniform)
        for c in criteria
        for b in args.budgets
        for refitted in (False, True)
        for uniform in ((False, True) if c == args.ranked_by else (False,))
    ]
    found: dict[float, dict[str, float]] = {}
    for criterion, budget, refitted, uniform in bar(todo, desc='one shot', unit='net'):
        result = job.one_shot(criterion, budget, refitted, uniform)
        if refitted and not uniform:
            found.setdefault(budget, {})[criterion] = result['shift']
    return {budget: min(shifts, key=shifts.__getitem__) for budget, shifts in found.items()}


def distil(args: argparse.Namespace, job: Study, budget: float) -> None:
    """Distil the net of a budget that was made smaller step by step, within the CPU time allowed."""
    name = f'distilled-{percent(budget)}'
    if name not in job.results():
        start = job.results()[f'stepwise-{percent(budget)}']
        student, teacher = (
            open_model(folder / 'deploy.prototxt', folder / 'weights.caffemodel')
            for folder in (Path(start['folder']), job.folder / 'steps' / 'whole')
        )
        stage = Stage(job.folder / name)
        if not stage.is_emitted():
            measured_on = set(job.test_feed.paths)
            paths = [
                path.resolve()
                for path in shuffled_pictures(args.images, args.seed, args.not_in)
                if path not in measured_on
            ]
            distillation.emit(
                stage,
                student,
                teacher,
                form_of(args),
                paths,
                args.cpu_minutes,
                args.base_lr,
                args.distill_batch,
                args.seed,
                start['kept'],
            )
        before = cpu_of_children()
        train_with_bar(stage, name, args.gpu)
        more = {
            'cpu_seconds': cpu_of_children() - before,
            'iterations': read_solver(stage.solver).max_iter,
            'batch': args.distill_batch,
        }
        job.final(name, budget, distillation.distilled(stage, student), more)
    tell(f'{budget:.0%} of the MACs, distilled', job.results()[name]['all'])


def tell(name: str, result: dict[str, Any]) -> None:
    """Print the accuracy of a finished part, percent with its standard error."""
    print(f'{name}: {accuracy_text(result["accuracy"], result["error"])}', flush=True)


def report(args: argparse.Namespace, job: Study, out: Path) -> None:
    """Write report.html, .md, .json and .png into the study's folder, and the tables into --doc."""
    results = job.results()
    few = f'the first {args.few_pairs} matched and mismatched pairs of {args.few_folds} folds'
    shown = page.tables(results, few)
    figure = page.figure(results, Path(args.doc).stem if args.doc else 'accuracy-macs')
    facts = [
        ('model', f'{args.deploy}, {args.weights}'),
        ('verified on', ', '.join(args.pairs)),
        ('selection and refits on', f'{args.count} and {args.refit_count} pictures of {args.images}'),
        ('allocated by', f'sensitivity of {args.ranked_by}'),
        ('made by', command_line()),
    ]
    written = write_report(out, f'{Path(args.weights).stem} pruned', facts, shown, [figure], {'results': results})
    if args.doc:
        write_into(args.doc, page.MARKS, shown, [(figure, png(figure.draw()))])
    for part in shown:
        print(f'\n{part.title}\n{table_text(part)}')
    print(f'\nreport: {written}')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', help='deploy prototxt')
    parser.add_argument('weights', help='its caffemodel')
    parser.add_argument(
        '--pairs',
        required=True,
        action='append',
        help="pairs.txt in LFW's form, the first for all tables; may be given several times (without mirror images)",
    )
    parser.add_argument(
        '--pictures', required=True, action='append', help='folder of the pictures of each --pairs, or one for all'
    )
    parser.add_argument('--out', required=True, help='folder of the study')
    parser.add_argument(
        '--budgets',
        type=budgets,
        default='0.85,0.7,0.5',
        help='MACs that may remain: shares such as 0.7 or 70%%, or amounts such as 350M (default %(default)s)',
    )
    parser.add_argument('--criteria', help=f'criteria of the table (default: all: {",".join(CRITERIA)})')
    parser.add_argument('--ranked-by', default='obs', help='criterion that sensitivities are measured with')
    parser.add_argument('--rates', type=rates, default=[0.7, 0.4], help='rates of the sensitivities (default 0.7,0.4)')
    parser.add_argument('--few-folds', type=whole, default=2, help='folds of the table of criteria (default 2)')
    parser.add_argument(
        '--few-pairs', type=whole, default=100, help='matched and mismatched pairs of each of them (default 100)'
    )
    parser.add_argument('--places', type=whole, default=60, help='outputs a picture to refit on (default 60)')
    parser.add_argument('--test-count', type=whole, default=40, help='pictures to measure distances on (default 40)')
    parser.add_argument(
        '--refit-count',
        type=whole,
        default=160,
        help='pictures that the best of each budget is refitted on (default 160)',
    )
    parser.add_argument('--refit-places', type=whole, default=120, help='and outputs a picture of them (default 120)')
    parser.add_argument(
        '--ridge',
        type=not_negative,
        help='how much the old weights count in that (default: for each layer what serves best on half of the samples)',
    )
    parser.add_argument('--distill', type=budgets, help='budgets to distil, of --budgets')
    parser.add_argument('--cpu-minutes', type=float, default=10, help='CPU time of one distillation (default 10)')
    parser.add_argument(
        '--base-lr',
        type=float,
        default=distillation.BASE_LR,
        help='first steps of the distillation, as a share of the root mean square of a blob (default %(default)s)',
    )
    parser.add_argument(
        '--distill-batch', type=whole, default=distillation.BATCH, help='its pictures at a time (default %(default)s)'
    )
    parser.add_argument('--doc', help='Markdown file that gets the tables and, beside it, the plot')
    parser.add_argument('--gpu', help='GPU number for the distillation')
    add_net_stages(parser)
    add_pictures(parser, count=40)
    parser.set_defaults(batch=40)
