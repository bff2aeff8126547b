"""What it costs to prune each group alone: a table of harm, MACs and parameters at several rates, and its plot."""

from dataclasses import asdict, dataclass

from sphereslim.errors import SlimError
from sphereslim.files import read_json, write_json
from sphereslim.pruning.model import cost, cut_and_refit, evidence, selections

COLUMNS = ('group', 'rate', 'kept', 'MACs', 'parameters', 'harm')


@dataclass(frozen=True)
class Row:
    """One group pruned alone: `kept` of `size` channels; MACs, parameters and harm of the net that remains."""

    group: str
    rate: float
    size: int
    kept: int
    macs: int
    parameters: int
    harm: float


class SensitivityTable:
    """Rows in a JSON file that grows with every measurement, so that an interrupted study goes on where it stopped.

    `about` says what was measured on what; SlimError where the file is of another study.
    """

    def __init__(self, path, about):
        self.path, self.about, self.rows = path, about, []
        if path.is_file():
            known = read_json(path)
            for name, value in about.items():
                if known.get('about', {}).get(name) != value:
                    raise SlimError(
                        f'{path}: is of another study ({name} {known.get("about", {}).get(name)}, asked '
                        f'for {value}); expected a new file or the same settings'
                    )
            self.rows = [Row(**row) for row in known['rows']]

    def has(self, group, rate):
        """Whether a measurement is there."""
        return any((row.group, row.rate) == (group, rate) for row in self.rows)

    def add(self, row):
        """Take in a row and write the file."""
        self.rows.append(row)
        write_json(self.path, {'about': self.about, 'rows': [asdict(row) for row in self.rows]})


def read_table(path):
    """([Row], about) of a table's file; SlimError when it is none."""
    values = read_json(path)
    try:
        return [Row(**row) for row in values['rows']], values['about']
    except (KeyError, TypeError):
        raise SlimError(f'{path}: is no table of sensitivities, expected what sensitivity.py wrote') from None


def study(model, table, rates, criterion, harm_of, feed, fit=None, refitted=True, seed=0, progress=iter):
    """Fill `table` for every prunable group at every rate, the whole net's cost in row ''.

    `harm_of` is a function (Model) -> harm; with `refitted` the readers are refitted over `feed` before.
    `progress` wraps the list of (group, rate) still to do.
    """
    if not table.has('', 1.0):
        table.add(Row('', 1.0, 0, 0, *cost(model.net), harm_of(model)))
    names = [group.name for group in model.groups.prunable()]
    measured = {}
    todo = [(name, rate) for name in names for rate in rates if not table.has(name, rate)]
    for name, rate in progress(todo) if todo else ():
        if name not in measured:
            measured = evidence(model, [name], criterion, feed, seed)
        table.add(_row(model, name, rate, criterion, measured, harm_of, feed if refitted else None, fit, seed))


def _row(model, name, rate, criterion, measured, harm_of, feed, fit, seed):
    size = model.groups.of(name).size
    chosen = selections(model, criterion, measured, {name: max(1, int(rate * size + 1e-9))}, seed)
    slimmed = cut_and_refit(model, chosen, feed, fit, seed) if chosen else model
    kept = len(chosen[0].kept) if chosen else size
    return Row(name, rate, size, kept, *cost(slimmed.net), harm_of(slimmed))
