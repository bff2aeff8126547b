"""Whether two trainings were of one net, by what their logs print of it."""

from sphereslim.logs import textformat
from sphereslim.logs.run import Run
from sphereslim.logs.trainings import LoggedTraining


def outputs(run: Run) -> dict[str, str]:
    """{layer: its num_output} of the net that a run's log prints, as text; {} where it prints none."""
    found = {}
    for layer in run.net.get('layer', []):
        params = (
            [value[-1] for field, value in layer.items() if field.endswith('_param')] if isinstance(layer, dict) else []
        )
        numbers = [textformat.one(param, 'num_output') for param in params if isinstance(param, dict)]
        if any(numbers):
            found[textformat.one(layer, 'name', '')] = next(filter(None, numbers))
    return found


def difference(published: LoggedTraining, ours: LoggedTraining) -> str:
    """How the nets of two trainings differ, in words; '' where they are alike or a log does not print its net."""
    theirs, mine = (next(filter(None, map(outputs, training.runs)), {}) for training in (published, ours))
    other = [name for name in {**theirs, **mine} if theirs.get(name) != mine.get(name)]
    if not theirs or not mine or not other:
        return ''
    told = ' against '.join(
        f'{found[other[0]]} outputs' if other[0] in found else 'no such layer' for found in (theirs, mine)
    )
    more = f', and so for {len(other) - 1} more layers' if len(other) > 1 else ''
    return f"the nets differ, so curves may: layer '{other[0]}' has {told}{more}"
