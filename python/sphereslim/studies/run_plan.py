"""How a command carries out a Plan: stage by stage, with progress bars and a line for every result."""

from sphereslim.files import read_json
from sphereslim.progress import bar
from sphereslim.studies import pipeline
from sphereslim.training.stage import train_with_bar


def run_stages(plan, gpu=None, heading=''):
    """All stages in order; what is done already is told and left alone. `heading` starts every line.

    SlimError where the plan's folder was begun with other settings.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    pipeline.keep_settings(plan)
    stages = plan.stages()
    for place, stage in enumerate(stages):
        title = f'{heading}[{place + 1}/{len(stages)}] {stage.name}'
        if stage.is_trained() and has_accuracy(stage, place):
            print(f'{title}: done', flush=True)
            continue
        if not stage.is_emitted():
            emit(plan, stages, place, title)
        if place and not stage.is_trained():
            tell(plan, stage, 'before', title)
        train_with_bar(stage, title, gpu)
        tell(plan, stage, 'after', title)


def has_accuracy(stage, place):
    """Whether the stage at a place of its run holds its accuracies; the first has none from before its training."""
    known = read_json(stage.evaluation) if stage.evaluation.is_file() else {}
    return 'after' in known and (not place or 'before' in known)


def emit(plan, stages, place, title):
    """Write what training needs into the stage at a place of a run: base, pruned layer or last round."""
    stage = stages[place]
    if not place:
        pipeline.emit_base(plan, stage)
    elif place > len(plan.layers):
        pipeline.emit_last(plan, stages[place - 1], stage)
    else:
        pipeline.emit_pruned(
            plan,
            stages[place - 1],
            stage,
            plan.layers[place - 1],
            lambda batches: bar(batches, desc=f'{title}: sampling', leave=False),
        )


def tell(plan, stage, moment, title):
    """Verify a stage `before` or `after` its training, unless that is known, and print the accuracy."""
    result = pipeline.evaluate_stage(plan, stage, moment)
    print(f'{title}: accuracy {moment} training {result["accuracy"]:.2f} %', flush=True)
