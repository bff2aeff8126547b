"""Every package that the requirements install has its version in constraints.txt."""

import sys
from importlib.metadata import PackageNotFoundError, distribution, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repository import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN = set()  # names of the project's packages


def required(name):
    """The requirements in a file and in those it names."""
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith('-r '):
            yield from required(line.split()[1])
        elif line.startswith('-e '):
            project = tomllib.loads((ROOT / line.split()[1] / 'pyproject.toml').read_text())['project']
            OWN.add(project['name'])
            yield from map(Requirement, project['dependencies'])
        elif line and not line.startswith('#'):
            yield Requirement(line)


def brought_along(requirement, pins):
    """What a package requires on this machine, as far as it is installed in the version that is pinned."""
    name = canonicalize_name(requirement.name)
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return
    if name not in pins or installed.version in pins[name]:
        for further in map(Requirement, installed.requires or []):
            marker = further.marker
            if not marker or any(marker.evaluate({'extra': extra}) for extra in ('', *requirement.extras)):
                yield further


def fixed(requirement):
    return any(specifier.operator == '==' for specifier in requirement.specifier)


def unpinned(wanted, pins):
    """Names of what `wanted` installs in whatever version there is, each with what asks for it."""
    ahead, seen, loose, settled = [(requirement, 'the requirements') for requirement in wanted], set(), {}, set(pins)
    while ahead:
        requirement, asker = ahead.pop()
        name = canonicalize_name(requirement.name)
        if fixed(requirement) or name in OWN:
            settled.add(name)
        else:
            loose[name] = asker
        key = (name, *sorted(requirement.extras))
        if key not in seen:
            seen.add(key)
            ahead += [(further, name) for further in brought_along(requirement, pins)]
    return {name: asker for name, asker in loose.items() if name not in settled}


@pytest.fixture
def pins():
    constraints = list(required('constraints.txt'))
    assert all(fixed(constraint) for constraint in constraints)
    return {canonicalize_name(constraint.name): constraint.specifier for constraint in constraints}


def test_every_package_that_gets_installed_is_pinned(pins):
    missing = unpinned(required('requirements-test.txt'), pins)
    assert not missing, f'constraints.txt has no version of {missing}'


@pytest.mark.parametrize('name', ['onnxruntime', 'lmdb', 'plyvel', 'markupsafe'])
def test_a_missing_pin_is_told(pins, name):
    if version('torch') not in pins['torch']:
        pytest.skip('needs PyTorch as constraints.txt pins it, to ask what it brings along')
    del pins[name]
    assert list(unpinned(required('requirements-test.txt'), pins)) == [name]


def test_the_environment_of_run_all_exports_to_onnx():
    assert 'onnx' in [requirement.name for requirement in required('requirements.txt')]


def test_the_hooks_before_a_commit_use_the_pinned_ruff():
    (pinned,) = [line for line in (ROOT / 'constraints.txt').read_text().splitlines() if line.startswith('ruff==')]
    assert (ROOT / '.pre-commit-config.yaml').read_text().count(f'[{pinned}]') == 2
