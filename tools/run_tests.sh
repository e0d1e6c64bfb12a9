#!/bin/bash
# Run tests in two processes, those that compare times after all others: always both, whatever comes of the first.
# Usage: tools/run_tests.sh PYTHON [ARGUMENT...]          the arguments are pytest's
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1
shift

# Tests start hundreds of processes, which would otherwise each compile all they import where none may write it down.
unset PYTHONDONTWRITEBYTECODE
"$python" -m compileall -q src tests

# Whoever is done helps the other: what a test takes is between a millisecond and a minute.
"$python" -m pytest -n 2 --dist worksteal -m 'not timing' "$@"
others=$?
# Each keeps one processor busy at most, so two at once spoil no times; the tests of a file stay in order.
"$python" -m pytest -n 2 --dist loadfile -m timing "$@"
timing=$?
if [ "$others" -ne 0 ] || [ "$timing" -ne 0 ]; then
    echo "failed: exit status $timing of the tests that compare times, $others of the others" >&2
    exit 1
fi
