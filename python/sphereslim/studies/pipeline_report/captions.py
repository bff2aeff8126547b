"""The words of a report that no table holds."""

from typing import Any

LAMBDA_NOTE = (
    'Where the loss of a fine-tuning rises, the net gets no worse: lambda, which blends the plain inner product into '
    'the margin, belongs to the run and not to the weights. It restarts at its base in every stage, where the task is '
    'easy, and falls as iterations go by, so the margin, and with it the loss, grows until the net has adapted. The '
    'published fine-tuning curves show it; a short fine-tuning ends before lambda is low.'
)
NOTES = {'Training': LAMBDA_NOTE}


def facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What was run on what: [(name, text)]."""
    settings, faces, machine = report['settings'], report['faces'], report['machine']
    trainings = ', '.join(
        f'{name.replace("_", " ")} {settings[name]["iterations"]} iterations of '
        f'{settings[name]["batch"]} at {settings[name]["base_lr"]:g}'
        for name in ('base', 'fine_tune', 'last_round')
        if settings[name]
    )
    unfinished = [] if report['complete'] else [('state', 'unfinished: stages are still missing')]
    return [
        *unfinished,
        ('network', settings['net']),
        (
            'pruned',
            f'{", ".join(settings["layers"])} to {settings["rate"]:g} by {settings["criterion"]}, seed '
            f'{settings["seed"]}',
        ),
        ('training', f'{trainings}; on {machine["training"]}'),
        (
            'faces',
            f'{faces["pictures"]} pictures of {faces["people"]} people ({faces["list"]}); verified on {faces["pairs"]}',
        ),
        ('machine', f'{machine["cores"]} cores, {machine["system"]}, Python {machine["python"]}'),
        ('caffe', machine['caffe']),
        ('run with', report['command']),
    ]


def checks(report: dict[str, Any]) -> list[tuple[str, str]]:
    """[(what, command)] that give the numbers of the tables again, for the last stage."""
    last, folder = report['rows'][-1]['folder'], report['folder']
    pairs, pictures = report['faces']['pairs'], report['faces']['pairs'].removesuffix('pairs.txt') + 'aligned'
    found = [
        ('parameters, MACs and bytes of a stage', f'python tools/model_stats.py {last}/deploy.prototxt'),
        (
            'accuracy of a stage',
            f'python python/evaluate_lfw.py {last}/deploy.prototxt {last}/final.caffemodel '
            f'--pairs {pairs} --pictures {pictures}',
        ),
    ]
    if report['published']:
        key = report['published']['rows'][0]['net'].lower().replace('-', '')
        found.append(
            (
                'loss of every layer against the published curves',
                f'python tools/compare_logs.py published/curves/{key}_per_layer_loss.csv {folder} --html compare.html',
            )
        )
    return [*found, ('this page from report.json', redraw(report))]


def redraw(report: dict[str, Any], figure: str = '') -> str:
    """The command that draws a figure, or the whole report, again."""
    return f'python python/report.py {report["folder"]}' + (f' --figure {figure}' if figure else '')
