#!/bin/bash
# Print the arguments of pytest for the tests of the inner loop: most of what must hold, and nothing that takes long, starts
# processes or waits. `make test` runs the rest, and draws more examples.
set -euo pipefail
cd "$(dirname "$0")/.."
echo tests/unit tests/property tests/architecture
for path in tests/integration/test_{equivalence_*,install,install_factories,task_factories,governed_calls}.py \
    tests/integration/test_{chaos,kept_waiting,preemption,preemption_{cancelling,neighbours,primitives}}.py; do
    [ "$path" = tests/integration/test_equivalence_anyio.py ] || echo "$path"
done
