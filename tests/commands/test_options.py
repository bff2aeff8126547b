"""An option of one name means one thing in every command, with one default."""

import argparse
from collections import defaultdict
from importlib import import_module

import pytest
from sphereslim.commands.arguments.parser import command_parser
from sphereslim.commands.program import ROOMS, find_commands

OWN = {  # what is the same idea at another scale, or what a source prescribes
    '--batch': {'detect', 'study'},
    '--batches': {'recalibrate', 'select-filters'},
    '--bits': {'quantize quantize', 'quantize sweep', 'quantize allocate'},
    '--count': {'compress', 'goals', 'shrink', 'study'},
    '--criterion': {'sensitivity', 'sphereface-prune'},
    '--faces': {'flame'},
    '--layers': {'quantize quantize', 'quantize sweep', 'quantize allocate', 'binarize'},
    '--min-pictures': {'make-list'},
    '--multiple': {'select-filters'},
    '--nets': {'sphereface-prune'},
    '--out': {'list-celeba', 'make-faces', 'select-filters', 'flame'},
    '--people': {'list-celeba', 'make-faces'},
    '--per-fold': {'make-faces'},
    '--places': {'study'},
    '--rates': {'sensitivity', 'sphereface-prune', 'study'},
    '--ridge': {'study'},
    '--seed': {'list-celeba', 'make-faces', 'select-filters'},
    '--settings': {'entropy', 'flame', 'goals', 'sphereface-prune'},
    '--test-count': {'compress', 'goals', 'quantize allocate', 'shrink', 'study'},
}
# evaluate-lfw has --json and --roc
WITHOUT_OUT = {'check', 'groups', 'finetune', 'report', 'quantize inspect', 'evaluate-lfw'}


def options(parser, name):
    """(command, option, its action) of a parser and of those below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from options(below, f'{name} {word}')
        elif action.option_strings:
            yield name, max(action.option_strings, key=lambda text: (text.startswith('--'), -len(text))), action


@pytest.fixture(scope='module')
def found():
    """{option: [(command, action)]}"""
    result = defaultdict(list)
    for room in ROOMS:
        for command in find_commands(room):
            parser = command_parser(command.doc, command.name)
            import_module(command.module).add_arguments(parser)
            for name, option, action in options(parser, command.name):
                result[option].append((name, action))
    return result


def test_an_option_has_one_default(found):
    for option, uses in found.items():
        defaults = {repr(action.default) for name, action in uses if name not in OWN.get(option, ())}
        assert len(defaults) <= 1, (option, [(name, action.default) for name, action in uses])


def test_what_is_written_is_named_by_out(found):
    assert not {'--output', '--target', '--outdir'} & set(found)
    commands = {name for uses in found.values() for name, _ in uses if name != 'quantize'}
    assert commands - {name for name, _ in found['--out']} == WITHOUT_OUT


def test_seeds_counts_and_pairs_are_read_alike(found):
    for option in ('--seed', '--count', '--batch', '--workers', '--budget', '--stage'):
        assert len({action.type for _, action in found[option]}) == 1, option
    with_pairs = {name for name, _ in found['--pairs']} - {'make-list', 'prepare-faces', 'merge-faces'}
    assert with_pairs <= {name for name, _ in found['--pictures']}
