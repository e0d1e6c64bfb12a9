#!/bin/bash
# Run the own tests of other libraries, of their newest version or of one that is named: plain against governed, and plain
# against governed under chaos. They come with the source distribution, or from the repository where that has none. See
# tools/foreign_tests/peers.py.
# Usage: tools/peer_tests.sh PYTHON SEED NAME[==VERSION]...          such as: tools/peer_tests.sh python3 1 anyio aiohttp
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
seed=$2
shift 2

# What the status of a peer means, beside failure.
MISSING=77

peer_suite() {
    tools/with_both_addresses.sh "$venv/bin/python" tools/foreign_tests/peer_suite.py "$@"
}

# The source without its package, so that its tests find the one that is installed.
unpack() {
    local name=$1 directory=$2 version repository package
    rm -rf "$directory"
    version=$("$venv/bin/python" -c 'import importlib.metadata as m, sys; print(m.version(sys.argv[1]))' "$name")
    repository=$("$venv/bin/python" tools/foreign_tests/peer_suite.py "$name" --repository)
    if [ -n "$repository" ]; then
        git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$version" "$repository" "$directory" ||
            { echo "$name $version: its tests are only in $repository, which cannot be had" >&2 && return "$MISSING"; }
    else
        "$venv/bin/pip" download --quiet --no-deps --no-binary "$name" --dest "$directory" "$name==$version"
        tar -x -f "$directory"/*.tar.gz -C "$directory" --strip-components 1
    fi
    package=$directory/$("$venv/bin/python" tools/foreign_tests/peer_suite.py "$name" --package)
    if [ -d "$package/tests" ]; then
        find "$package" -mindepth 1 -maxdepth 1 ! -name tests -exec rm -rf {} +
    else
        rm -rf "$package"
    fi
}

test_peer() {
    local name=${1%%==*} venv directory
    venv=build/venv-peer-$name directory=build/peer-$name
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --upgrade pip 'setuptools>=77'
    "$venv/bin/pip" install --quiet --no-build-isolation --editable . pytest uvloop "$1"
    "$venv/bin/python" tools/foreign_tests/peer_suite.py "$name" --requirements |
        "$venv/bin/pip" install --quiet --requirement /dev/stdin
    unpack "$name" "$directory"
    peer_suite "$name" "$directory"
    peer_suite "$name" "$directory" --chaos "$seed"
}

failures=()
missing=()
for peer in "$@"; do
    echo "== $peer"
    # In a subshell of its own: `set -e` would be off inside a condition.
    set +e
    (set -e; test_peer "$peer")
    case $? in
    0) ;;
    "$MISSING") missing+=("$peer") ;;
    *) failures+=("$peer") ;;
    esac
    set -e
done
echo "peers: ${failures[*]:-none} failed, ${missing[*]:-none} not run"
exit "$((${#failures[@]} > 0))"
