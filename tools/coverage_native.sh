#!/bin/bash
# How much of the C core do the tests run? Fails under 90 % of its lines.
# Usage: tools/coverage_native.sh PYTHON [TEST...]
#
# The instrumented core lives in build/coverage and is put in front by PYTHONPATH: the normal build stays as it is.
# The run is not shared with the Python gate: a trace function changes what the core may do.
set -euo pipefail
python=$1
shift

export ASYNCIO_PULSE_BUILD=coverage
rm -rf build/coverage
"$python" setup.py --quiet build
PYTHONPATH=$(echo "$PWD"/build/coverage/lib.*)
export PYTHONPATH
"$python" -c 'import asyncio_pulse._core as core; assert "build/coverage" in core.__file__, core.__file__'

# Fewer examples, and without what compares times, which an instrumented core distorts: `make test` runs all of it.
"$python" -m pytest -q -n 2 --dist worksteal -m 'not timing' --hypothesis-profile=quick "$@"
"$python" -m gcovr --root . --object-directory build/coverage --filter 'src/asyncio_pulse/_native/' \
    --exclude-unreachable-branches --txt-metric line --print-summary --fail-under-line 90 build/coverage
