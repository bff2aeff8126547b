"""Goals for one model: what is made, kept and written into pages."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from sphereslim.commands.program import find_command
from sphereslim.compression.run import IN_FEWER_BITS, REFITTED
from sphereslim.errors import SlimError
from sphereslim.studies import goals
from sphereslim.studies.goals import MARKS, Goal

NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 28, 24] } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 8 } }
"""
GOOD = {'title': 'half', 'page': 'one.md', 'at_least': {'faces': 90}}
RUNS = {
    'half': {'macs': '50%', 'seeds': [0, 1], 'goals': {REFITTED: GOOD}},
    'small': {
        'bytes': '2000',
        'goals': {IN_FEWER_BITS: {'title': 'small', 'page': 'two.md', 'lost_at_most': {'faces': 1.0}}},
    },
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
        rows = [row('original', 100, 95.0), row(REFITTED, 50, 90.5 - request.seed), row(IN_FEWER_BITS, 50, 94.5)]
        return {'rows': rows, 'cpu_seconds': {'fewer channels': 60.0, 'fewer bits': 120.0, 'measuring': 600.0}}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The requests that goals become, in a folder with what the command reads."""
    monkeypatch.chdir(tmp_path)
    Path('net.prototxt').write_text(NET)
    Path('net.caffemodel').write_bytes(b'weights')
    Path('faces').mkdir()
    Path('faces/one.png').touch()
    Path('pairs.txt').write_text('')
    write_settings(RUNS)
    compressed = Compressed([])
    monkeypatch.setattr(goals, 'compress', compressed)
    return compressed.requests


def write_settings(stated):
    Path('goals.json').write_text(json.dumps({'sets': {'faces': 'pairs'}, 'runs': stated}))


def pursue(*words):
    find_command('goals').run([*WORDS.split(), *words])


def test_every_run_has_a_folder_and_its_goals_land_on_their_pages(made):
    pursue('--docs', 'docs')
    assert [request.out.name for request in made] == ['half-seed-0', 'half-seed-1', 'small-seed-0']
    assert made[0].budgets.macs.share == 0.5 and made[2].budgets.bytes.amount == 2000
    assert [each.name for each in made[0].sets] == ['faces']
    one, two = Path('docs/one.md').read_text(), Path('docs/two.md').read_text()
    assert one.count(MARKS[0]) == 1 and 'sphereslim compress net.prototxt' in one
    assert '| half | 0 | 50.0 % (a) | 500 (m) | 1.0 (m) | 90.50 ± 0.50 % (m) | 4.50 (m) |' in one
    assert 'faces at least 90 % | nothing |' in one and '| faces 0.50 |' in one  # reached with one of the seeds
    assert '3.0 (m) | 94.50' in two and 'loses at most 1 | nothing' in two


def test_what_is_known_is_not_made_again(made):
    pursue('--only', 'half')
    assert len(made) == 2
    pursue()
    assert len(made) == 3
    write_settings(RUNS | {'half': RUNS['half'] | {'macs': '40%', 'seeds': [1]}})
    pursue('--docs', 'docs')
    assert len(made) == 4 and made[-1].budgets.macs.share == 0.4
    assert Path('docs/one.md').read_text().count('| half | ') == 1


def test_nets_of_one_run_meet_goals_on_several_pages(made):
    small = RUNS['small']['goals']['in fewer bits']
    write_settings({'half': RUNS['half'] | {'goals': {REFITTED: GOOD, IN_FEWER_BITS: small}}})
    pursue('--docs', 'docs')
    assert len(made) == 2
    assert '| half | 0 | 50.0 % (a) | 500 (m) | 1.0 (m) |' in Path('docs/one.md').read_text()
    assert '| small | 1 | 50.0 % (a) | 500 (m) | 3.0 (m) |' in Path('docs/two.md').read_text()


def goal(**change):
    return {'goals': {REFITTED: GOOD | change}}


@pytest.mark.parametrize(
    'change, told',
    [
        ({'macs': '150%'}, 'goals.json: half: macs 150%, expected a share'),
        ({'macs': 0.5}, 'half: macs is 0.5, expected a text'),
        (goal(at_least={'others': 90}), 'half: asks for an accuracy on others, expected --pairs others.txt'),
        (goal(at_least={'faces': 'high'}), 'half: fewer channels, refitted: faces is "high", expected a number'),
        (goal(page='page.txt'), 'page.txt: expected a name that ends in .md'),
        ({'goals': {'tiny': GOOD}}, "half: asks for a net 'tiny', expected fewer channels, refitted, distilled"),
        ({'goals': {'distilled': GOOD}}, "half: makes no net 'distilled', expected .* and train_minutes"),
    ],
)
def test_wrong_settings_are_told_in_one_line(made, change, told):
    write_settings({'half': RUNS['half'] | change})
    with pytest.raises(SlimError, match=told) as error:
        pursue('--docs', 'docs')
    assert '\n' not in str(error.value) and not made and not Path('out').exists()


def test_a_run_needs_a_budget_and_a_name_that_is_there(made):
    write_settings({'half': goal()})
    with pytest.raises(SlimError, match='half: expected macs, parameters or bytes'):
        pursue()
    write_settings(RUNS)
    with pytest.raises(SlimError, match='--only third: expected some of half, small'):
        pursue('--only', 'third')


def test_an_aim_is_missed_by_what_is_missing():
    goal = Goal(IN_FEWER_BITS, 'title', 'page.md', at_least={'faces': 95.0}, lost_at_most={'faces': 0.5})
    assert goal.shortfalls({'faces': result(96.0)}, {'faces': result(95.5)}) == []
    assert goal.shortfalls({'faces': result(96.0)}, {'faces': result(94.75)}) == ['faces 0.25', 'faces 0.75']
