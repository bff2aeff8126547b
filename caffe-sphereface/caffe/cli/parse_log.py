"""parse_log: the net outputs of a training log as two CSV tables."""

import argparse
import csv
import io
import math
import re
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from caffe.cli.flags import Flag, Spec, run
from caffe.errors import CaffeError
from caffe.proto.files import read_bytes, write_bytes

_NUMBER = r'([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf))'
_TIME = re.compile(r'^[IWEF](\d{4}|\d{8}) (\d\d:\d\d:\d\d\.\d{6}) ')
_ITERATION = re.compile(r'Iteration (\d+)')
_RATE = re.compile(rf'lr = {_NUMBER}')
_OUTPUT = re.compile(rf'(Train|Test) net output #\d+: (\S+) = {_NUMBER}')

Row = dict[str, float]

_SPEC = Spec(
    'parse_log',
    'Write the net outputs of a training log as CSV tables LOGNAME.train and LOGNAME.test with '
    'the columns NumIters, Seconds, LearningRate and one per output.',
    (Flag('verbose', False, 'print the tables too'), Flag('delimiter', ',', 'what separates columns')),
    (('LOGFILE', 'the log'), ('OUTPUT_DIR', 'the folder to write the tables to')),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    return run(_SPEC, _parse, argv)


def _parse(flags: argparse.Namespace, positionals: list[str]) -> None:
    source, folder = positionals
    if len(flags.delimiter) != 1:
        raise CaffeError(f"--delimiter '{flags.delimiter}': expected one character")
    tables = parse_log(read_bytes(source).decode(errors='replace'))
    if not any(tables.values()):
        raise CaffeError(f'{source}: has no net outputs, expected the log of a training')
    for kind, rows in tables.items():
        table = _as_csv(rows, flags.delimiter)
        write_bytes(Path(folder) / f'{Path(source).name}.{kind}', table.encode())
        if flags.verbose:
            print(table)


def parse_log(text: str) -> dict[str, list[Row]]:
    """{'train': rows, 'test': rows} of a log; a row is a dict of NumIters, Seconds, LearningRate and net outputs.

    Seconds count from the line "Solving". A row has the learning rate that the log stated last, the first row the first
    one stated.
    """
    tables: dict[str, list[Row]] = {'train': [], 'test': []}
    iteration: int | None = None
    start: datetime | None = None
    now: datetime | None = None
    rate = float('nan')
    for line in text.splitlines():
        now = _later(_time(line), now)
        if start is None and now and ('Solving' in line or 'Iteration' in line):
            start = now
        found = _ITERATION.search(line)
        iteration = int(found[1]) if found else iteration
        if iteration is None:
            continue
        found = _RATE.search(line)
        rate = float(found[1]) if found else rate
        found = _OUTPUT.search(line)
        if found:
            seconds = (now - start).total_seconds() if now and start else float('nan')
            _add(tables[found[1].lower()], iteration, seconds, rate, found[2], float(found[3]))
    for rows in tables.values():
        _fill_first_rate(rows)
    return tables


def _fill_first_rate(rows: list[Row]) -> None:
    """The first outputs of a training come before its first rate."""
    if len(rows) > 1 and math.isnan(rows[0]['LearningRate']):
        rows[0]['LearningRate'] = rows[1]['LearningRate']


def _add(rows: list[Row], iteration: int, seconds: float, rate: float, name: str, value: float) -> None:
    if not rows or rows[-1]['NumIters'] != iteration or name in rows[-1]:
        rows.append({'NumIters': iteration, 'Seconds': seconds, 'LearningRate': rate})
    rows[-1][name] = value


def _time(line: str) -> datetime | None:
    found = _TIME.match(line)
    if not found:
        return None
    # logs of glog before 0.5 state no year; a leap year allows every date
    day = found[1] if len(found[1]) == 8 else f'2020{found[1]}'
    try:
        return datetime.strptime(f'{day} {found[2]}', '%Y%m%d %H:%M:%S.%f')
    except ValueError:
        return None


def _later(time: datetime | None, previous: datetime | None) -> datetime | None:
    """`time`, a year later where logs without a year pass the new year; `previous` where a line has no time."""
    if time and previous and previous - time > timedelta(days=180):
        return time + timedelta(days=366)
    return time or previous


def _as_csv(rows: list[Row], delimiter: str) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ['NumIters', 'Seconds', 'LearningRate']
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, delimiter=delimiter, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


if __name__ == '__main__':
    sys.exit(main())
