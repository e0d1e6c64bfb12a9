#!/bin/bash
# Run the core's tests on other Python versions. A version that cannot be had is skipped, and said so.
# Usage: tools/core_tests.sh [--asyncio | --anyio] VERSION...          such as: tools/core_tests.sh 3.12 3.13 3.14
# With --asyncio it runs CPython's own asyncio tests instead, with --anyio those of the newest anyio, plain and governed:
# see tools/foreign_tests.
#
# A version is looked for on PATH and under pyenv; 3.14 is otherwise fetched by tools/python314.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

suite_name=core
flag=
case "${1-}" in
--asyncio | --anyio)
    flag=$1
    suite_name=${1#--}
    shift
    ;;
esac

find_python() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        # A pyenv shim exists for versions that it then refuses to run; a bare python may come without headers.
        if "$candidate" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

test_core() {
    local venv=$1
    # shellcheck disable=SC2046
    tools/run_tests.sh "$venv/bin/python" --hypothesis-profile=quick $(tools/core_suites.sh)
}

test_asyncio() {
    local venv=$1 version=$2
    # Debian packages the interpreter's tests apart.
    "$venv/bin/python" -c 'import test.test_asyncio' 2>/dev/null ||
        { apt-get update -qq && apt-get install -y -qq "libpython$version-testsuite" >/dev/null; }
    "$venv/bin/python" tools/foreign_tests/cpython_suite.py
}

test_anyio() {
    local venv=$1 directory=build/anyio-$2 sources
    rm -rf "$directory"
    "$venv/bin/pip" download --quiet --no-deps --no-binary anyio --dest "$directory" anyio
    tar -x -f "$directory"/anyio-*.tar.gz -C "$directory"
    sources=("$directory"/anyio-*/)
    "$venv/bin/pip" install --quiet "${sources[0]}" --group "${sources[0]}pyproject.toml:test"
    tools/with_both_addresses.sh "$venv/bin/python" tools/foreign_tests/peer_suite.py anyio "${sources[0]}"
}

run_tests() {
    local python=$1 version=$2 venv=build/venv-$2
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --upgrade pip 'setuptools>=77'
    # This builds the core anew each time; all versions share the tree, and its metadata.
    mkdir -p build
    flock build/.installing "$venv/bin/pip" install --quiet --no-build-isolation --editable '.[test]'
    "test_$suite_name" "$venv" "$version"
}

results=()
failures=0
for version in "$@"; do
    echo "== $suite_name tests on Python $version"
    if python=$(find_python "$version"); then
        run=(run_tests "$python" "$version")
    elif [ "$version" = 3.14 ] && tools/python314.sh true; then
        run=(tools/python314.sh tools/core_tests.sh $flag 3.14)
    else
        results+=("Python $version: skipped, not found on PATH or under pyenv, and not fetched (see above)")
        continue
    fi
    # In a subshell of its own: `set -e` would be off inside a condition.
    set +e
    (set -e; "${run[@]}")
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        results+=("Python $version: passed")
    else
        results+=("Python $version: FAILED")
        failures=$((failures + 1))
    fi
done

echo "== $suite_name tests, summary"
printf '%s\n' "${results[@]}"
exit "$((failures > 0))"
