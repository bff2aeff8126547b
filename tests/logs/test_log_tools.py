"""The two commands that draw and compare logs."""

import json
import re
import signal
import subprocess
import sys
import time

from log_texts import command, training, write
from repository import ROOT


def test_compare_command_writes_page_and_json(tmp_path):
    ours = write(tmp_path, 'ours.log', '\n'.join(training()))
    theirs = write(tmp_path, 'theirs.log', '\n'.join(training(every=5)))
    done = command('compare_logs.py', theirs, ours, '--html', tmp_path / 'p.html', '--json', tmp_path / 'p.json')
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / 'p.json').read_text())
    assert {one['quantity']: one['verdict'] for one in data['pairs'][0]['curves']} == {
        'loss': 'matches',
        'lambda': 'matches',
        'lr': 'matches',
    }
    page = (tmp_path / 'p.html').read_text()
    assert page.count('data:image/png;base64,') == 3 and 'viewport' in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)


def test_commands_answer_bad_input_with_one_line(tmp_path):
    good = write(tmp_path, 'good.log', '\n'.join(training()))
    bad = write(tmp_path, 'bad.log', bytes(range(256)) * 20)
    for words in (
        ('compare_logs.py', good, bad),
        ('compare_logs.py', tmp_path / 'no.log'),
        ('plot_log.py', bad),
        ('compare_logs.py', good, '--json', good / 'where.json'),
    ):
        done = command(*words)
        assert done.returncode == 1 and done.stderr.count('\n') == 1 and 'Traceback' not in done.stderr, words


def test_plot_command_follows_until_interrupted(tmp_path):
    log, picture = write(tmp_path, 'a.log', '\n'.join(training()) + '\n'), tmp_path / 'a.png'
    words = [sys.executable, ROOT / 'tools/plot_log.py', log, '-o', picture, '--follow', '--interval', '0.05']
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert 'iteration 290 of 300' in process.stdout.readline()
    with open(log, 'a') as file:
        file.write('Iteration 295, loss = 4\n')
    assert 'iteration 295 of 300' in process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and 'stopped' in rest and not errors
    assert picture.read_bytes().startswith(b'\x89PNG') and sorted(tmp_path.iterdir()) == [log, picture]
