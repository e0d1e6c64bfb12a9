#!/bin/bash
# Run the tests of the core under the address and undefined-behaviour sanitizers, then the crash scripts under valgrind.
# Usage: tools/sanitize.sh PYTHON
#
# The instrumented core lives in build/sanitize and is put in front by PYTHONPATH: the normal build stays as it is.
set -euo pipefail
python=$1

export ASYNCIO_PULSE_BUILD=sanitize
rm -rf build/sanitize
"$python" setup.py --quiet build
PYTHONPATH=$(echo "$PWD"/build/sanitize/lib.*)
# The interpreter's own allocator would hide a use after free from both tools.
export PYTHONPATH PYTHONMALLOC=malloc

report=$PWD/build/sanitize/report

sanitized() {
    # The interpreter is not instrumented, so the runtime must come first; with it the C++ one for greenlet, in tests.
    # Leaks: CPython keeps memory until exit by design and the report would be all its own; tests count ours by RSS
    # and reference counts.
    # handle_segv=2: the report is worth more than the one of pytest's fault handler, which would capture it, too.
    env LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)" \
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_segv=2:allocator_may_return_null=1:suppressions=$PWD/tools/asan.supp:log_path=$report \
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$report "$@" ||
        { cat "$report".* 2>/dev/null; return 1; }
}

echo "== address and undefined-behaviour sanitizers"
sanitized "$python" -c 'import asyncio_pulse._core as core; assert "build/sanitize" in core.__file__, core.__file__'
# shellcheck disable=SC2046
sanitized "$python" -m pytest -q -n 2 --dist worksteal $(tools/core_suites.sh) tests/native

if ! command -v valgrind >/dev/null; then
    echo "== valgrind: skipped, it is not installed"
    exit 0
fi
echo "== valgrind"
unset PYTHONPATH
failed=()
# Those that make the core let go of memory in unusual ways and are short: valgrind is some fifty times slower.
for name in collected exit_inside_a_task exit_with_governed_loop_at_the_end exit_with_pending_tasks forking interleaved_greenlets \
    preempted_at_exit preempted_many_times; do
    script=tests/isolated/$name.py
    echo "$script"
    # Memory that the core freed and the interpreter uses is what the sanitizers cannot see. Uninitialised values are left
    # out: CPython 3.11's own reads of them (_PyLong_FromByteArray) taint all that follows.
    # Valgrind runs one thread at a time; unless each has its turn, the watchdog never does.
    valgrind --fair-sched=yes --quiet --undef-value-errors=no --leak-check=no --error-exitcode=99 "$python" "$script" || failed+=("$script")
done
[ "${#failed[@]}" -eq 0 ] || {
    printf 'valgrind: failed: %s\n' "${failed[@]}"
    exit 1
}
