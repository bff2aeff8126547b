#!/usr/bin/env bash
# Makes the project's own Python environment in .venv when it is missing or out of date; prints its python.
# PYTHON names the interpreter to make it from, VENV another folder, REQUIREMENTS and CONSTRAINTS other lists.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv} requirements=${REQUIREMENTS:-requirements.txt} constraints=${CONSTRAINTS:-constraints.txt}
stamp=$(cat "$requirements" "$constraints" */pyproject.toml | cksum)
known='' interpreter='' # what the environment was made from; where PYTHON names none, any will do
[ ! -f "$venv/.made-from" ] || { read -r known; read -r interpreter || true; } < "$venv/.made-from"
wanted=${PYTHON:-$interpreter}
if [ "$known" != "$stamp" ] || [ "$wanted" != "$interpreter" ]; then
  if [ -e "$venv" ] && [ ! -w "$venv" ]; then
    echo "error: $venv was not made from today's $requirements, $constraints and pyproject.toml files, or not from PYTHON," \
      "and cannot be written; make the image again, or name another folder in VENV" >&2
    exit 1
  fi
  echo "making the environment in $venv (3 GB to download where PyTorch comes with CUDA) …" >&2
  "${wanted:-python3}" -c '
import sys
if sys.version_info < (3, 10):
    sys.exit("error: Python 3.10 or later is needed")
if sys.version_info >= (3, 14) and sys.argv[1] == "constraints.txt":
    print("note: not every version in constraints.txt has a wheel for this Python; PYTHON=python3.12 takes another,",
          "CONSTRAINTS=mine.txt other versions", file=sys.stderr)' "$constraints"
  [ "$wanted" = "$interpreter" ] || clear=--clear # no two Pythons in one folder
  "${wanted:-python3}" -m venv ${clear:-} "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check -c "$constraints" -r "$requirements" >&2
  printf '%s\n' "$stamp" "$wanted" > "$venv/.made-from"
fi
echo "$venv/bin/python"
