"""`caffe train -progress`: a bar on a terminal, lines elsewhere, and Caffe's log as it is without."""

import os
import pty
import re
import subprocess

from training_run import COMMAND, ENVIRONMENT, caffe_command, write_run

TRAIN = ['train', '-solver=solver.prototxt']


def without_times(text):
    """The messages of the log, without what differs from run to run."""
    lines = [line for line in text.splitlines() if re.match(r'I\d{4} ', line)]
    return [re.sub(r'\(\S+ iter/s, \S+ iters\)', '', line.split('] ', 1)[1]) for line in lines]


def test_in_a_pipe_progress_adds_lines_with_an_estimate_and_changes_none_of_the_log(tmp_path):
    write_run(tmp_path)
    plain, shown = caffe_command(tmp_path, *TRAIN), caffe_command(tmp_path, *TRAIN, '-progress')
    bars = [line for line in shown.stderr.splitlines() if line.startswith('Training: ')]
    assert re.search(r' 0/6 \[', bars[0]) and re.search(r'100%.* 6/6 \[\d\d:\d\d<', bars[-1])
    assert without_times(shown.stderr) == without_times(plain.stderr)
    assert 'Training: ' not in plain.stderr and '\r' not in shown.stderr


def test_a_continued_training_starts_its_bar_where_it_goes_on(tmp_path):
    write_run(tmp_path)
    solver = (tmp_path / 'solver.prototxt').read_text()
    caffe_command(tmp_path, *TRAIN)
    (tmp_path / 'solver.prototxt').write_text(solver.replace('max_iter: 6', 'max_iter: 8'))
    shown = caffe_command(tmp_path, *TRAIN, '-progress', '-snapshot=out_iter_6.solverstate')
    bars = re.findall(r'Training: .* (\d+/\d+) \[', shown.stderr)
    assert bars[0] == '6/8' and bars[-1] == '8/8'


def test_of_several_processes_one_shows_the_progress(tmp_path):
    write_run(tmp_path)
    shown = caffe_command(tmp_path, *TRAIN, '-progress', '-processes=2').stderr
    assert len(re.findall(r'Training: .* 6/6 \[', shown)) == 1


def test_on_a_terminal_the_bar_stays_below_the_log_whose_lines_stay_whole(tmp_path):
    write_run(tmp_path)
    ours, theirs = pty.openpty()
    run = subprocess.Popen([*COMMAND, *TRAIN, '-progress'], cwd=tmp_path, env=ENVIRONMENT, stderr=theirs)
    os.close(theirs)
    written = b''
    try:
        while part := os.read(ours, 1 << 16):
            written += part
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(ours)
    assert run.wait(60) == 0
    text = written.decode()
    assert re.search(r'\rTraining: 100%.* 6/6 \[', text)
    # a line of the log begins where a line or the cleared bar ended
    starts = re.findall(r'(.?)I\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ', text, re.DOTALL)
    assert set(starts) <= {'\n', '\r', ''} and 'Optimization Done.' in text
