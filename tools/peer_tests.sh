#!/bin/bash
# Run the own tests of other libraries, of their newest source distributions: plain against governed, and plain against
# governed under chaos. See tools/foreign_tests/peers.py.
# Usage: tools/peer_tests.sh PYTHON SEED NAME...          such as: tools/peer_tests.sh python3 1 aiohttp starlette
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
seed=$2
shift 2

# A source distribution without its package, so that its tests find the one that is installed.
unpack() {
    local name=$1 directory=$2 version
    rm -rf "$directory"
    version=$("$venv/bin/python" -c 'import importlib.metadata as m, sys; print(m.version(sys.argv[1]))' "$name")
    "$venv/bin/pip" download --quiet --no-deps --no-binary "$name" --dest "$directory" "$name==$version"
    tar -x -f "$directory"/*.tar.gz -C "$directory" --strip-components 1
    rm -rf "${directory:?}/$name"
    [ -d "$directory/tests" ] || { echo "$name $version: its source distribution has no tests" >&2 && return 1; }
}

test_peer() {
    local name=$1 venv=build/venv-peer-$1 directory=build/peer-$1
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --upgrade pip 'setuptools>=77' 'greenlet>=3.1'
    "$venv/bin/pip" install --quiet --no-build-isolation --editable . pytest uvloop "$name"
    "$venv/bin/python" tools/foreign_tests/peer_suite.py "$name" --requirements |
        "$venv/bin/pip" install --quiet --requirement /dev/stdin
    unpack "$name" "$directory"
    "$venv/bin/python" tools/foreign_tests/peer_suite.py "$name" "$directory"
    "$venv/bin/python" tools/foreign_tests/peer_suite.py "$name" "$directory" --chaos "$seed"
}

failures=()
for name in "$@"; do
    echo "== $name"
    # In a subshell of its own: `set -e` would be off inside a condition.
    set +e
    (set -e; test_peer "$name")
    [ $? -eq 0 ] || failures+=("$name")
    set -e
done
echo "peers: ${failures[*]:-none} failed"
exit "$((${#failures[@]} > 0))"
