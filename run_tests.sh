#!/usr/bin/env bash
# Runs all tests in an environment of their own (.venv-test); further words go to pytest.
set -euo pipefail
cd "$(dirname "$0")"
python=$(VENV=${VENV:-.venv-test} REQUIREMENTS=requirements-test.txt bash tools/make_env.sh)
export GLOG_minloglevel=${GLOG_minloglevel:-2}
"$python" -m ruff check .
exec "$python" -m pytest -q "$@" caffe-sphereface/tests tests
