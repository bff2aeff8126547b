"""Training logs: read them (`parse_log`), join what belongs together (`trainings`), line up, judge and draw.

from sphereslim.logs import parse_log
for run in parse_log('train.log'):
    print(run.name, run.ending, len(run.train))
    for row in run.train:
        print(row.iteration, row.seconds, row.loss, row.lr, row.outputs)
"""

from sphereslim.logs.lines import LogError
from sphereslim.logs.parser import LogParser, parse_log
from sphereslim.logs.run import Run
from sphereslim.logs.table import LogRow, LogTable

__all__ = ['LogError', 'LogParser', 'LogRow', 'LogTable', 'Run', 'parse_log']
