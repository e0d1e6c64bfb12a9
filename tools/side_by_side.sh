#!/bin/bash
# Run some commands at once; what each printed is shown whole, one after the other. Fails if one of them fails.
# Usage: tools/side_by_side.sh COMMAND...        such as: tools/side_by_side.sh 'make lint' 'make types'
set -euo pipefail

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

processes=()
for command in "$@"; do
    bash -c "$command" >"$logs/${#processes[@]}" 2>&1 &
    processes+=("$!")
done

failed=()
for number in "${!processes[@]}"; do
    wait "${processes[number]}" || failed+=("${@:number+1:1}")
    cat "$logs/$number"
done
[ "${#failed[@]}" -eq 0 ] || {
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
}
