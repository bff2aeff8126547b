"""A log that is still being written."""

from log_texts import write
from sphereslim.logs.follow import Follower, progress


def test_follower_reads_complete_lines_only_and_notices_a_new_log(tmp_path):
    path = write(tmp_path, 'a.log', 'Iteration 1, loss = 2\nIteration 2, lo')
    follower = Follower(path)
    assert follower.read_on() and len(follower.runs[0].train) == 1 and not follower.read_on()
    with open(path, 'a') as file:
        file.write('ss = 3\n')
    assert follower.read_on() and follower.runs[0].train[-1].loss == 3 and 'iteration 2' in progress(follower.runs)
    write(tmp_path, 'a.log', 'Iteration 5, loss = 1\n')
    assert follower.read_on() and [row.iteration for row in follower.runs[0].train] == [5]
