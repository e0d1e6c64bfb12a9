#!/bin/bash
# Print the arguments of pytest for the tests that show which Python code ran. Left out is what a trace function would only
# distort, or what runs scripts that take it off: `make test` runs that.
set -euo pipefail
cd "$(dirname "$0")/.."
echo tests/unit tests/property tests/integration tests/architecture
for path in tests/integration/test_isolated.py tests/integration/test_preemption*.py; do
    echo "--ignore=$path"
done
