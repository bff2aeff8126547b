#!/usr/bin/env bash
# Runs all tests in an environment of their own (.venv-test); further words go to pytest.
set -euo pipefail
cd "$(dirname "$0")"
python=$(VENV=${VENV:-.venv-test} REQUIREMENTS=requirements-test.txt bash tools/make_env.sh)
# more threads than two only get in each other's way on nets as small as the tests'
export GLOG_minloglevel=${GLOG_minloglevel:-2} OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
# the property tests draw the same examples in every run; --hypothesis-profile=default draws new ones
exec "$python" -m pytest -q --hypothesis-profile=ci "$@" caffe-sphereface/tests tests
