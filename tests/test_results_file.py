"""Files of results that a run continues where it stopped."""

import json

import pytest
from sphereslim.errors import SlimError
from sphereslim.files import ResultsFile


def test_results_are_there_when_the_run_goes_on(tmp_path):
    subject = {'net': 'a', 'stages': ('x', 'y')}
    kept = ResultsFile(tmp_path / 'results.json', subject)
    assert kept.result('first', lambda: [1, 2]) == [1, 2]
    again = ResultsFile(tmp_path / 'results.json', subject)
    assert again.result('first', lambda: pytest.fail('is known')) == [1, 2]


def test_results_of_another_subject_are_refused(tmp_path):
    ResultsFile(tmp_path / 'results.json', {'net': 'a'}).keep('first', 1)
    with pytest.raises(SlimError, match='results.json: holds results of another subject .net a, asked for b'):
        ResultsFile(tmp_path / 'results.json', {'net': 'b'})
    with pytest.raises(SlimError, match='results.json: holds results of another subject .seed None, asked for 1'):
        ResultsFile(tmp_path / 'results.json', {'net': 'a', 'seed': 1})


def test_without_a_subject_the_file_holds_the_results_alone(tmp_path):
    ResultsFile(tmp_path / 'results.json').keep('first', 1)
    assert json.loads((tmp_path / 'results.json').read_text()) == {'first': 1}
    assert ResultsFile(tmp_path / 'results.json').results == {'first': 1}


@pytest.mark.parametrize('text', ['[]', '{"rows": []}', '{"subject": {"net": "a"}}'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / 'results.json').write_text(text)
    with pytest.raises(SlimError, match='results.json: is no file of results'):
        ResultsFile(tmp_path / 'results.json', {'net': 'a'})
