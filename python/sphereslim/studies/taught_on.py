"""A pruned net goes on learning from the teacher of its base: what its own labels could not bring back, without them.

<rate folder>/taught-on/   a stage: its training, the net and its accuracy; it begins as the last round ended
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sphereslim.data.lists import open_taught
from sphereslim.evaluation.paired import lost_error
from sphereslim.files import write_bytes
from sphereslim.net.prototxt import read_net
from sphereslim.net.weights import read_weights
from sphereslim.report.cells import MEASURED, PUBLISHED, ReportCell, ReportTable, accuracy_text, loss_text
from sphereslim.rewrite.distill import without_teacher
from sphereslim.studies.distilled import tell_accuracy, write_taught
from sphereslim.studies.pipeline import Plan
from sphereslim.studies.prune_runs import Base, accuracy_of, last_stage
from sphereslim.studies.sphereface_prune import published_of
from sphereslim.training.schedule import Schedule
from sphereslim.training.stage import Stage, train_with_bar


def stage_of(plan: Plan) -> Stage:
    """The Stage in which the net of a Plan is taught on."""
    return Stage(plan.folder / 'taught-on')


def teach_on(schedule: Schedule, plan: Plan, gpu: str | None = None, heading: str = '') -> None:
    """Train the net that a finished Plan ends with by the teacher of its faces, and verify it.

    The stage's `net.caffemodel` is what is verified: the net without the teacher. SlimError where the faces were
    prepared without a teacher, or the plan is not finished.
    """
    stage = stage_of(plan)
    weights = stage.folder / 'net.caffemodel'
    if not stage.is_emitted():
        last, taught = last_stage(plan), open_taught(plan.faces.train.parent)
        nets = read_net(last.train), read_net(last.deploy)
        write_taught(stage, *nets, schedule, taught, plan.faces, plan.seed, read_weights(last.final))
    if not stage.is_trained():
        train_with_bar(stage, f'{heading}{stage.name}', gpu)
    if not weights.is_file():
        write_bytes(weights, without_teacher(read_weights(stage.final)).SerializeToString())
    tell_accuracy(stage, weights, plan.faces, plan.crop, heading)


def taught_rows(runs: Sequence[tuple[Base, float, Plan]], printed: dict[str, Any]) -> list[dict[str, Any]]:
    """Plain values of each of the runs [(Base, rate, Plan)]: what it loses against its base before and after."""
    rows = []
    for base, rate, plan in runs:
        stage, before = stage_of(plan), accuracy_of(base.stage())
        by_labels, after = accuracy_of(last_stage(plan)), accuracy_of(stage)
        rows.append(
            {
                'net': base.name,
                'rate': rate,
                'iterations': stage.iterations(),
                'lost_by_labels': before['accuracy'] - by_labels['accuracy'],
                'lost_by_labels_error': lost_error(before, by_labels),
                'accuracy': after['accuracy'],
                'error': after['error'],
                'lost': before['accuracy'] - after['accuracy'],
                'lost_error': lost_error(before, after),
                'published': published_of(printed, base.name, rate).get('lost'),
            }
        )
    return rows


def taught_table(rows: Sequence[dict[str, Any]]) -> ReportTable:
    """The ReportTable of `taught_rows`."""
    cells = [
        [
            ReportCell(f'{row["net"]} at {row["rate"]:g}'),
            ReportCell(loss_text(row['lost_by_labels'], row['lost_by_labels_error']), MEASURED),
            ReportCell(f'{row["iterations"]:,}'),
            ReportCell(accuracy_text(row['accuracy'], row['error']), MEASURED),
            ReportCell(loss_text(row['lost'], row['lost_error']), MEASURED),
            ReportCell('' if row['published'] is None else f'{row["published"]:.2f}', PUBLISHED),
        ]
        for row in rows
    ]
    return ReportTable(
        'Taught on by the teacher',
        ['network', 'lost by labels alone', 'iterations', 'accuracy', 'lost', 'published'],
        cells,
        'Points lost against the base, with their standard errors over the same pairs.',
    )
