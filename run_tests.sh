#!/usr/bin/env bash
# Runs all tests in an environment of their own (.venv-test), as many at a time as there are cores (WORKERS=0: in one
# process, for a debugger); further words go to pytest.
set -euo pipefail
cd "$(dirname "$0")"
python=$(VENV=${VENV:-.venv-test} REQUIREMENTS=requirements-test.txt bash tools/make_env.sh)
# nets as small as the tests' gain nothing from threads: the cores run a test each
export GLOG_minloglevel=${GLOG_minloglevel:-2} OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
# the property tests draw the same examples in every run; --hypothesis-profile=default draws new ones
exec "$python" -m pytest -q -n "${WORKERS:-auto}" --dist worksteal --hypothesis-profile=ci "$@" caffe-sphereface/tests tests
