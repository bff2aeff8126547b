"""Goals for one model: what is made, kept and written into pages."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from sphereslim.commands.program import find_command
from sphereslim.compression.budgets import Budgets
from sphereslim.errors import SlimError
from sphereslim.studies import goals
from sphereslim.studies.goals import MARKS, Goal

NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 28, 24] } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 8 } }
"""
GOALS = {
    'half': {'title': 'half', 'page': 'one.md', 'macs': '50%', 'seeds': [0, 1], 'at_least': {'faces': 90}},
    'small': {'title': 'small', 'page': 'two.md', 'bytes': '2000', 'lost_at_most': {'faces': 1.0}},
}
WORDS = 'net.prototxt net.caffemodel --images faces --pairs pairs.txt --pictures faces --settings goals.json --out out'


def result(accuracy):
    return {'accuracy': accuracy, 'error': 0.5}


def row(name, macs, accuracy):
    return {'name': name, 'macs': macs, 'bytes': 10 * macs, 'accuracies': {'faces': result(accuracy)}}


@dataclass
class Compressed:
    """Stands in for `compress`: remembers the requests, and gives a net that gets worse with the seed."""

    requests: list

    def __call__(self, request, tell):
        self.requests.append(request)
        rows = [row('original', 100, 95.0), row('refitted', 50, 90.5 - request.seed), row('in fewer bits', 50, 94.5)]
        return {'rows': rows, 'cpu_seconds': {'fewer channels': 60.0, 'measuring': 600.0}}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The requests that goals become, in a folder with what the command reads."""
    monkeypatch.chdir(tmp_path)
    Path('net.prototxt').write_text(NET)
    Path('net.caffemodel').write_bytes(b'weights')
    Path('faces').mkdir()
    Path('faces/one.png').touch()
    Path('pairs.txt').write_text('')
    write_settings(GOALS)
    compressed = Compressed([])
    monkeypatch.setattr(goals, 'compress', compressed)
    return compressed.requests


def write_settings(stated):
    Path('goals.json').write_text(json.dumps({'sets': {'faces': 'pairs'}, 'goals': stated}))


def pursue(*words):
    find_command('goals').run([*WORDS.split(), *words])


def test_every_goal_is_compressed_in_a_folder_of_its_own_and_lands_on_its_page(made):
    pursue('--docs', 'docs')
    assert [request.out.name for request in made] == ['half-seed-0', 'half-seed-1', 'small-seed-0']
    assert made[0].budgets.macs.share == 0.5 and made[2].budgets.bytes.amount == 2000
    assert [each.name for each in made[0].sets] == ['faces']
    one, two = Path('docs/one.md').read_text(), Path('docs/two.md').read_text()
    assert one.count(MARKS[0]) == 1 and 'sphereslim compress net.prototxt' in one
    assert '| half | 0 | 50.0 % (a) | 500 (m) | 1.0 (m) | 90.50 ± 0.50 % (m) | 4.50 (m) |' in one
    assert 'faces at least 90 % | nothing |' in one and '| faces 0.50 |' in one  # reached with one of the seeds
    assert '94.50' in two and 'loses at most 1 | nothing' in two  # bytes are those of the net in fewer bits


def test_what_is_known_is_not_made_again(made):
    pursue('--goals', 'half')
    assert len(made) == 2
    pursue()
    assert len(made) == 3
    write_settings(GOALS | {'half': GOALS['half'] | {'macs': '40%', 'seeds': [1]}})
    pursue('--docs', 'docs')
    assert len(made) == 4 and made[-1].budgets.macs.share == 0.4
    assert Path('docs/one.md').read_text().count('| half | ') == 1


@pytest.mark.parametrize(
    'change, told',
    [
        ({'macs': '150%'}, 'goals.json: half: macs 150%, expected a share'),
        ({'macs': 0.5}, 'half: macs is 0.5, expected a text'),
        (
            {'at_least': {'others': 90}},
            'half: asks for an accuracy on others, expected --pairs others.txt',
        ),
        ({'at_least': {'faces': 'high'}}, 'half: faces is "high", expected a number'),
        ({'page': 'page.txt'}, 'page.txt: expected a name that ends in .md'),
    ],
)
def test_wrong_settings_are_told_in_one_line(made, change, told):
    write_settings({'half': GOALS['half'] | change})
    with pytest.raises(SlimError, match=told) as error:
        pursue('--docs', 'docs')
    assert '\n' not in str(error.value) and not made and not Path('out').exists()


def test_a_goal_needs_a_budget_and_a_name_that_is_there(made):
    write_settings({'half': {'title': 'half', 'page': 'one.md'}})
    with pytest.raises(SlimError, match='half: expected macs, parameters or bytes'):
        pursue()
    write_settings(GOALS)
    with pytest.raises(SlimError, match='--goals third: expected some of half, small'):
        pursue('--goals', 'third')


def test_an_aim_is_missed_by_what_is_missing():
    goal = Goal('key', 'title', 'page.md', Budgets(), at_least={'faces': 95.0}, lost_at_most={'faces': 0.5})
    assert goal.shortfalls({'faces': result(96.0)}, {'faces': result(95.5)}) == []
    assert goal.shortfalls({'faces': result(96.0)}, {'faces': result(94.75)}) == ['faces 0.25', 'faces 0.75']
