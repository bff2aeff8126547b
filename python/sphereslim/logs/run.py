"""What one run of `caffe train` says in its log."""

import re
from dataclasses import dataclass, field

from sphereslim.logs import textformat
from sphereslim.logs.table import LogTable

ITERATION_OF_STATE = re.compile(r'_iter_(\d+)\.solverstate')
ROLES_BY_NAME = (
    ('lambda', re.compile('lambda', re.I)),
    ('inter-class distance', re.compile(r'inter.?class|\bmhe\b', re.I)),
    ('accuracy', re.compile(r'acc|top-?\d', re.I)),
)


@dataclass
class Run:
    """One run: `train` and `test` are LogTables, `solver` is the parsed solver block ({} without one).

    path, line      where the log is and the line (from 1) this run begins at
    net_text        the training net as printed in the header, '' without one
    weights         files given with -weights; resumed_from: the .solverstate given with -snapshot, or None
    steps           [(iteration, step)] of the `MultiStep Status` lines
    snapshots       [(iteration, file)]
    loss_weights    {output: weight} of the outputs that are losses
    clock           'time stamps', 'iter/s' (summed up from the rates) or None: what `seconds` of the rows come from
    done            the log says `Optimization Done.`; failure: the line that says why it died, or None
    """

    path: str
    line: int
    train: LogTable = field(default_factory=LogTable)
    test: LogTable = field(default_factory=LogTable)
    solver: textformat.Fields = field(default_factory=dict)
    net_text: str = ''
    weights: list[str] = field(default_factory=list)
    resumed_from: str | None = None
    steps: list[tuple[int, int]] = field(default_factory=list)
    snapshots: list[tuple[int, str]] = field(default_factory=list)
    loss_weights: dict[str, float] = field(default_factory=dict)
    gpus: list[int] = field(default_factory=list)
    clock: str | None = None
    done: bool = False
    failure: str | None = None

    @property
    def rows(self) -> int:
        """How many rows, training and test, were read."""
        return len(self.train) + len(self.test)

    @property
    def start(self) -> int | None:
        """The iteration training began at: that of the resumed state, else of the first row; None without either."""
        found = ITERATION_OF_STATE.search(self.resumed_from or '')
        if found:
            return int(found.group(1))
        first = [int(table.iteration[0]) for table in (self.train, self.test) if len(table)]
        return min(first) if first else None

    @property
    def net(self) -> textformat.Fields:
        """The training net as {field: [values]} (see textformat.parse), {} without one."""
        return textformat.parse(self.net_text)

    @property
    def name(self) -> str:
        """The net's name, '' when the log does not say."""
        match = re.match(r'\s*name:\s*"([^"]*)"', self.net_text)
        return match.group(1) if match else ''

    @property
    def iter_size(self) -> int:
        """The forwards of an iteration."""
        return int(textformat.number(self.solver, 'iter_size', 1))

    @property
    def ending(self) -> str:
        """How the log of this run ends, in words."""
        if self.done:
            return 'finished'
        return self.failure or 'no end in the log'

    def roles(self) -> dict[str, str]:
        """{output name: 'lambda' | 'inter-class distance' | 'accuracy'}: by the layer that makes it, else by name."""
        tops = _tops_by_role(self.net)
        roles = {}
        for name in dict.fromkeys(self.train.output_names + self.test.output_names):
            role = tops.get(name) or next((role for role, form in ROLES_BY_NAME if form.search(name)), None)
            if role:
                roles[name] = role
        return roles


def _tops_by_role(net: textformat.Fields) -> dict[str, str]:
    places = {
        'MarginInnerProduct': ('lambda', 1),
        'InterClass': ('inter-class distance', 0),
        'Accuracy': ('accuracy', 0),
    }
    tops = {}
    for layer in net.get('layer', []):
        if not isinstance(layer, dict) or textformat.one(layer, 'type') not in places:
            continue
        role, place = places[textformat.one(layer, 'type')]
        names = layer.get('top', [])
        if place < len(names):
            tops[names[place]] = role
    return tops
