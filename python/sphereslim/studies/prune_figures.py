"""Drawings of several pruning runs: losses of the bases, accuracy stage by stage, channels kept and removed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sphereslim.files import read_json
from sphereslim.report.cells import Figure
from sphereslim.report.drawing import panels
from sphereslim.studies.pipeline import Plan
from sphereslim.studies.pipeline_report.collect import stage_curves
from sphereslim.studies.pipeline_report.figures import SIZE, channel_bars, losses
from sphereslim.studies.pipeline_report.published import printed_for
from sphereslim.studies.prune_runs import Base, accuracy_of

_COLUMNS = 4


def base_figures(bases: Sequence[Base], published: Path) -> list[Figure]:
    """A Figure of the loss of every base training; `published` is the folder of published figures."""
    return [_base_figure(base, printed_for(published, base.name)) for base in bases]


def _base_figure(base: Base, printed: dict[str, Any] | None) -> Figure:
    curve = printed['curves'].get('base') if printed else None
    words = f'Loss of {base.name} from its first weights on'
    text = f'{words}; grey the published curve over its own iterations, at the top.' if curve else f'{words}.'
    return Figure(
        f'loss-{base.name}', f'{base.name}: training', text, lambda: losses(stage_curves(base.stage()), curve)
    )


def course_figures(bases: Sequence[Base], runs: Sequence[tuple[Base, float, Plan]]) -> list[Figure]:
    """A Figure of the accuracy after every stage for each base; runs are [(Base, rate, Plan)]."""
    return [
        Figure(
            f'course-{base.name}',
            f'{base.name}: stage by stage',
            'Accuracy right after the cut (triangles) and after training on (line).',
            partial(_draw_course, base, [run for run in runs if run[0] is base]),
        )
        for base in bases
    ]


def _draw_course(base: Base, runs: Sequence[tuple[Base, float, Plan]]) -> Any:
    figure, axes = panels(SIZE)
    for number, (_, rate, plan) in enumerate(runs):
        stages = plan.stages()
        after = [accuracy_of(stage)['accuracy'] for stage in stages]
        axes.plot(after, 'o-', ms=4, color=f'C{number}', label=f'at {rate:g}')
        before = [accuracy_of(stage, 'before')['accuracy'] for stage in stages[1:]]
        axes.plot(range(1, len(stages)), before, 'v', ms=4, color=f'C{number}', alpha=0.5)
        axes.set_xticks(range(len(stages)), [stage.name.split('-', 1)[1] for stage in stages], rotation=90)
    axes.set_ylabel('verification accuracy, %')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def channel_figures(runs: Sequence[tuple[Base, float, Plan]]) -> list[Figure]:
    """A Figure of every layer's filters by score for each of the runs [(Base, rate, Plan)]."""
    return [
        Figure(
            f'channels-{base.name}-{rate:g}',
            f'{base.name} at {rate:g}: filters kept and removed',
            f'Every filter of a pruned layer by its score ({plan.criterion}).',
            partial(_draw, plan),
        )
        for base, rate, plan in runs
    ]


def _draw(plan: Plan) -> Any:
    selections = [read_json(stage.selection) for stage in plan.stages() if stage.selection.is_file()]
    rows = -(-len(selections) // _COLUMNS)
    columns = min(_COLUMNS, len(selections))
    figure, grid = panels((1.7 * columns + 0.6, 1.5 * rows + 0.5), rows, columns, squeeze=False)
    for axes in grid.flat[len(selections) :]:
        axes.set_axis_off()
    for axes, selection in zip(grid.flat, selections):
        channel_bars(axes, selection)
        axes.set_title(f'{selection["layer"]}: {len(selection["kept"])} of {len(selection["scores"])}', fontsize=8)
        axes.tick_params(labelsize=6)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, [label.split()[-1] for label in labels], loc='outside upper right', ncols=2, fontsize=8)
    return figure
