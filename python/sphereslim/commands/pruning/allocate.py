"""Spend a budget of MACs or parameters over channel groups, by the table that sensitivity.py wrote.

All channels stand on one ranking by loss per cost saved, and leave from the cheapest on until the budget is met; the
cost is counted on the pruned prototxt. Writes {group: number of channels kept}, which select_filters.py takes as
--allocation.
"""

import argparse

from sphereslim.commands.arguments.budgets import add_budget
from sphereslim.commands.arguments.net_stages import add_net_stages
from sphereslim.commands.arguments.values import whole
from sphereslim.files import check_writable, write_json
from sphereslim.progress import bar
from sphereslim.pruning.allocation import COSTS, allocate_channels, curves
from sphereslim.pruning.model import cost_of_counts, open_model
from sphereslim.pruning.sensitivity import read_table
from sphereslim.report.text_tables import text_table, with_unit


def run(args: argparse.Namespace) -> None:
    check_writable(args.out)
    model = open_model(args.deploy, args.weights, args.stage)
    rows, _ = read_table(args.table)
    limit = args.budget.of(getattr(next(row for row in rows if not row.group), args.cost), args.cost)
    found = {name: curve for name, curve in curves(rows, args.cost).items() if model.groups.of(name).name == name}
    counts = allocate_channels(
        model, found, limit, args.cost, args.multiple, lambda tries: bar(tries, desc='counting costs')
    )
    write_json(args.out, counts)
    print(
        text_table(
            ('group', 'channels', 'kept', 'share'),
            [[name, found[name].size, kept, f'{kept / found[name].size:.2f}'] for name, kept in counts.items()],
        )
    )
    macs, parameters = cost_of_counts(model, counts)
    print(
        f'{args.out}: {with_unit(macs)} MACs, {with_unit(parameters)} parameters; the budget is {with_unit(limit)} '
        f'{args.cost}'
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('deploy', help='deploy prototxt')
    parser.add_argument('weights', help='its caffemodel')
    parser.add_argument('table', help='sensitivity.json of the same net')
    add_budget(parser, 'what --cost counts')
    parser.add_argument('--cost', choices=list(COSTS), default='macs', help='what the budget counts (default macs)')
    parser.add_argument('--multiple', type=whole, default=1, help='round counts up to a multiple, such as 8')
    parser.add_argument('--out', required=True, help='JSON file {group: channels kept}')
    add_net_stages(parser)
